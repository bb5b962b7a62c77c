// What pages call, and what happens by itself.

const CONSENT = 'tracardi-consent';
const HELD_MAX = 100;

// While it is set, nothing is noted; what waited before is still sent.
let isStopped = 1;
let hasBegun;
// Calls from before the consent.
const held = [];

// A call that waits for the consent, where one is needed.
const afterConsent = run =>
  promised((...said) => {
    if (!isStopped) return run(...said);
    if (needsConsent && held.length < HELD_MAX)
      return new Promise(resolve => held.push(() => resolve(safe(run)(...said))));
  });

const begin = () => {
  isStopped = 0;
  if (!hasBegun) {
    hasBegun = 1;
    on(document, 'visibilitychange', () => (document.hidden ? sendLast() : schedule(0)));
    on(window, 'pagehide', sendLast);
    on(window, 'online', () => schedule(0));
    watchClicks();
    if (!snippet && asked.auto != 'false') watchPages();
  }
  held.splice(0).forEach(call => call());
};

const consent = promised(consents => {
  const isGranted = Object.values(consents).some(value => /^(grant(ed)?|yes|true|allow(ed)?)$/i.test(value));
  if (needsConsent && isGranted) isStopped = 0;
  const told = track('consent-update', { consents });
  if (needsConsent && isGranted) {
    write(CONSENT, 1);
    begin();
  } else if (needsConsent) {
    // Who takes it back is heard, and forgotten.
    held.length = 0;
    isStopped = 1;
    forget(CONSENT);
    leave();
  }
  return told;
});

const start = calls => {
  const api = (window.tracardi = {
    track: afterConsent(track),
    identify: afterConsent(traits => track('identification', traits)),
    consent,
    ready: safe(listener => (answer ? listener(answer) : listeners.push(safe(listener)))),
    reset: safe(leave),
    // As on the list that a page fills before the script is there: `["track", TYPE, PROPERTIES]`.
    push: safe(([name, ...said]) => api[name](...said)),
  });
  if (snippet) answerSnippet(api);
  if (!isRefused && source) {
    if (needsConsent && !read(CONSENT)) schedule(0);
    else if (document.prerendering) on(document, 'prerenderingchange', begin);
    else begin();
  }
  (calls || []).forEach(api.push);
};

// The calls of Tracardi's own snippet, whose loader puts `default` in the place of `window.tracker`.
const answerSnippet = api => {
  const track = (...said) => api.track(...said).then(data => ({ data, status: 200 }));
  const addListener = (target, name, listener) => target.addEventListener(name, listener);
  const helpers = { track, addListener, onClick: (target, listener) => addListener(target, 'click', listener) };
  const tracker = { track, plugins: { tracardi: helpers }, getState: () => ({ plugins: { tracardi: { initialized: 1 } } }) };
  api.default = tracker;
  window.tracker = window.tracker || tracker;
  api.ready(context => {
    const ready = window.onTracardiReady;
    const told = { tracker, helpers, context, config: options };
    typeof ready == 'function' ? ready(told) : ready.call(told);
  });
  ((snippet.auto || 0).events || []).forEach(event => setTimeout(() => track(...event)));
};

if (!window.tracardi || window.tracardi.splice) start(window.tracardi);
