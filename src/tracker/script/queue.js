// Events wait, each under a key of its own so that tabs do not overwrite each other's, until an answer confirms them.
// They have ids: one that is sent again is stored once.

const QUEUED = 'tracardi-event-';
const QUEUED_MAX = 500;
const BATCH_MAX = 50;
// A browser sends at most 64 KiB behind a page that goes; a character takes up to three bytes.
const KEPT_ALIVE_MAX = 2e4;
// After a failure, and twice as long after each that follows, six times.
const RETRY_MS = 1e3;

let count = 1e6;
let timer;
let failures = 0;
// The keys of what is under way, and the last one that was sent behind the page.
let underWay;
let lastSent = '';
// How many are sent at once: fewer while some are refused.
let batchMax = BATCH_MAX;
// Rises with each `leave`: answers from before do not tell who it is.
let person = 0;
let answer;
const listeners = [];
// By an event's id: who waits for its answer.
const waiting = {};

// The keys of what waits, in its order.
const waits = () => stored().filter(name => name.startsWith(QUEUED)).sort();

const schedule = ms => {
  clearTimeout(timer);
  timer = setTimeout(safe(send), ms);
};

// Takes an event. `pass` says who came from another domain.
const enqueue = (type, properties, context, pass) => {
  const id = uuid();
  const now = new Date();
  const event = { id, type, time: { create: now.toISOString() }, properties, context };
  const queued = waits();
  if (queued.length >= QUEUED_MAX) forget(queued[0]);
  write(QUEUED + now.getTime() + count++ + id, { event, session: session(), profile: profile(), pass });
  schedule(50);
  return new Promise(resolve => (waiting[id] = resolve));
};

// The first of these that belong to one visit, as a payload.
const batchOf = (queued, max) => {
  const keys = [];
  const events = [];
  let first, pass;
  for (const key of queued) {
    const next = read(key) || 0;
    first = first || next;
    if (next.session != first.session || next.profile != first.profile || keys.length == max) break;
    keys.push(key);
    events.push(next.event);
    pass = pass || next.pass;
  }
  if (!first) return;
  const id = first.profile || (first.hasLeft ? '' : profile());
  // `Intl` takes ten milliseconds when it is first asked; not every browser has the other.
  const body = JSON.stringify({
    source: { id: source },
    session: { id: first.session },
    profile: { id },
    context: {
      time: { tz: window.Temporal ? Temporal.Now.timeZoneId() : Intl.DateTimeFormat().resolvedOptions().timeZone },
      screen: { local: { width: screen.width, height: screen.height } },
      tracardi: pass && { pass },
    },
    options: ((snippet && window.response) || {}).context,
    events,
  });
  return body.length > KEPT_ALIVE_MAX && max > 1 ? batchOf(queued, max >> 1) : { keys, events, body, hasLeft: first.hasLeft };
};

// Whoever waits for these need not wait any more.
const settle = ({ keys, events }, said) => {
  keys.forEach(forget);
  events.forEach(({ id }) => {
    if (waiting[id]) waiting[id](said);
    delete waiting[id];
  });
};

const send = () => {
  const batch = !underWay && batchOf(waits(), batchMax);
  if (!batch) return;
  const who = person;
  underWay = batch.keys;
  // As text it needs no leave to be asked for first.
  fetch(endpoint + '/track', {
    method: 'POST',
    body: batch.body,
    keepalive: batch.body.length <= KEPT_ALIVE_MAX,
    credentials: 'omit',
  })
    .then(async got =>
      got.ok ? { said: await got.json() } : { status: got.status, after: got.headers.get('Retry-After') }
    )
    .catch(() => ({}))
    .then(
      safe(({ said, status, after }) => {
        underWay = 0;
        if (said) {
          schedule(0);
          failures = 0;
          batchMax = BATCH_MAX;
          settle(batch, said);
          const { id } = said.profile || 0;
          if (id && who == person && !isStopped && !batch.hasLeft) write(PROFILE, id);
          answer = said;
          listeners.splice(0).forEach(listener => listener(said));
          draw(said.ux);
        } else if (/406|413|422/.test(status)) {
          // Something of it is wrong and nothing was stored: smaller and smaller parts tell what.
          schedule(0);
          if (batch.keys.length > 1) batchMax = batch.keys.length >> 1;
          else settle(batch);
        } else if (!/40[014]/.test(status)) {
          const ms = Math.max(RETRY_MS << Math.min(failures++, 6), after * 1e3 || 0);
          // Who asks for more than a visit's rest is asked again then.
          schedule(Math.min(ms, VISIT_REST_MS) * (1 + Math.random()));
        }
      })
    );
};

// The page may never come back. What a browser promises to send stays queued, for it does not tell what became of it.
const sendLast = () => {
  let queued = waits().filter(key => key > lastSent && !(underWay || []).includes(key));
  for (let batch; (batch = batchOf(queued, BATCH_MAX)) && navigator.sendBeacon(endpoint + '/track', batch.body); ) {
    queued = queued.slice(batch.keys.length);
    lastSent = batch.keys.pop();
  }
};

// From here on it is somebody else, in another visit; what waits stays theirs whose it was.
const leave = () => {
  waits().forEach(key => {
    const queued = read(key) || 0;
    write(key, { ...queued, profile: queued.profile || (queued.hasLeft ? '' : profile()), hasLeft: 1 });
  });
  person++;
  forget(PROFILE);
  forget(SESSION);
};
