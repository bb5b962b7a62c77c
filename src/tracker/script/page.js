// Pages, and what is done on them.

let referrer = document.referrer;

// The address without who came from another domain: it is handed on, and is no part of the page.
const address = () => {
  const url = new URL(location);
  url.search = url.search.replace(/(^\?|&)__tr_(pid|src)=[^&]*/g, '$1').replace(/^\?&+|&+$/g, '');
  return url;
};

// Who came from another domain, once: then it is taken from the address.
const passed = () => {
  const said = new URLSearchParams(location.search);
  const profile = said.get('__tr_pid');
  if (!profile) return;
  history.replaceState(history.state, '', address());
  return { profile, source: said.get('__tr_src') };
};

const track = (type, properties, options) => {
  if (isStopped) return;
  const { href, pathname, host } = address();
  const from = referrer.split('/')[2];
  const referer = { host: from == host ? null : from };
  const page = { url: href, path: pathname, title: document.title, referer };
  return enqueue(type, properties, { page, ...(options || 0).context }, passed());
};

// What makes a page another one. Routers that use the fragment begin it with a slash.
const place = () => location.pathname + location.search + (/^#!?\//.test(location.hash) ? location.hash : '');

let seen;

const view = () => {
  if (place() == seen) return;
  if (seen) referrer = '';
  track('page-view');
  seen = place();
};

const watchPages = () => {
  ['pushState', 'replaceState'].forEach(name => {
    const change = history[name];
    history[name] = function () {
      change.apply(this, arguments);
      // Pages say their title behind it.
      setTimeout(safe(view));
    };
  });
  on(window, 'popstate', () => setTimeout(safe(view)));
  // Shown again as it was left.
  on(window, 'pageshow', event => {
    if (event.persisted) view((seen = ''));
  });
  view();
};

const DOWNLOADS = /\.(7z|csv|dmg|docx?|epub|exe|gz|mp[34]|pdf|pptx?|rar|xlsx?|zip)$/i;

const watchClicks = () => {
  const clicked = ({ target }) => {
    // What is no link, or leads to no page, ends here: `safe` takes it.
    const link = target.closest('a[href]');
    const { href } = link;
    const url = new URL(href);
    if (!/^http/.test(url)) return;
    const leaves = url.host != location.host;
    if (leaves && domains.some(domain => ('.' + url.hostname).endsWith('.' + domain))) {
      if (isStopped || !profile()) return;
      url.searchParams.set('__tr_pid', profile());
      url.searchParams.set('__tr_src', source);
      // For this click alone: the page has no need to know.
      link.href = url;
      setTimeout(() => (link.href = href));
    } else if (isOn('downloads') && (link.hasAttribute('download') || DOWNLOADS.test(url.pathname))) {
      track('file-downloaded', { url });
    } else if (leaves && isOn('outbound')) {
      track('outbound-link-clicked', { url });
    }
  };
  on(document, 'click', clicked);
  on(document, 'auxclick', clicked);
  // Which form, and nothing of what was filled in. The attribute may select forms.
  on(document, 'submit', ({ target }) => {
    if (isOn('forms') && (/^(true)?$/.test(asked.forms) || target.matches(asked.forms)))
      track('form-submitted', { id: target.getAttribute('id'), name: target.getAttribute('name') });
  });
};
