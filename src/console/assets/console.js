// What the console's pages do beside what HTML does: parts that are loaded behind the page, and pages that follow what
// comes. Without it every page still works.
'use strict';

const working = document.getElementById('working');
let pending = 0;

// Says that it works once something takes longer than a moment.
const during = async work => {
  const timer = setTimeout(() => working && working.classList.add('shown'), 100);
  pending++;
  try {
    return await work;
  } finally {
    clearTimeout(timer);
    if (!--pending && working) working.classList.remove('shown');
  }
};

addEventListener('beforeunload', () => setTimeout(() => working && working.classList.add('shown'), 100));
addEventListener('pageshow', () => working && working.classList.remove('shown'));

const fetched = async address => {
  const answer = await fetch(address, { headers: { Accept: 'text/html' }, credentials: 'same-origin' });
  // Logged out meanwhile.
  if (answer.redirected || answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.text();
};

// Parts say where they come from.
const load = part =>
  during(fetched(part.dataset.load))
    .then(html => {
      part.innerHTML = html;
      part.removeAttribute('aria-busy');
    })
    .catch(() => {
      part.textContent = 'This cannot be shown now.';
      part.removeAttribute('aria-busy');
    });

const loadAll = within => Promise.all([...within.querySelectorAll('[data-load]')].map(load));
loadAll(document);

// Pages that follow: what is marked is made anew when an event is stored, at most twice a second, and parts, which take
// longer, at most every ten seconds.
const followed = () => [...document.querySelectorAll('[data-live]')];
if (followed().length) {
  let is_due = false;
  let is_busy = false;
  let loaded = 0;
  let loading;
  const made_anew = async () => {
    const page = new DOMParser().parseFromString(await fetched(location.href), 'text/html');
    loading ||= setTimeout(() => {
      loading = 0;
      loaded = Date.now();
      loadAll(document);
    }, Math.max(0, loaded + 10e3 - Date.now()));
    for (const part of followed()) {
      const anew = page.getElementById(part.id);
      if (anew && anew.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) part.innerHTML = anew.innerHTML;
    }
  };
  // One at a time, and none while nobody sees the page.
  const renew = async () => {
    if (is_busy || !is_due || document.hidden) return;
    is_due = false;
    is_busy = true;
    await made_anew().catch(() => {});
    setTimeout(() => {
      is_busy = false;
      renew();
    }, 500);
  };
  const stream = new EventSource('/console/live');
  stream.addEventListener('event', () => {
    is_due = true;
    renew();
  });
  document.addEventListener('visibilitychange', renew);
  addEventListener('pagehide', () => stream.close());
}

// The browser's time zone, for the times that are shown.
for (const field of document.querySelectorAll('input[name="tz"]'))
  field.value = Intl.DateTimeFormat().resolvedOptions().timeZone || '';

// Copies what stands beside the button.
document.addEventListener('click', event => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  navigator.clipboard.writeText(text).then(
    () => (button.textContent = 'Copied'),
    () => getSelection().selectAllChildren(document.getElementById(button.dataset.copy))
  );
});

// What was opened to choose from closes again.
const close = except => {
  for (const open of document.querySelectorAll('details.choice[open]')) if (open !== except) open.open = false;
};
document.addEventListener('click', event => close(event.target.closest('details.choice')));
document.addEventListener('keydown', event => event.key === 'Escape' && close());

// A choice that is made filters at once.
document.addEventListener('change', event => {
  const form = event.target.closest('form.filters');
  // Of several sources, each may be chosen before they are shown.
  if (form && event.target.matches('select, input[name="bots"]')) form.requestSubmit();
});
