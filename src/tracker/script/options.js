// What the page asks for: by attributes of the script's element, or by `options.tracker` of Tracardi's own snippet.

const script = document.currentScript;
const asked = script.dataset;
const snippet = (!asked.source && typeof options == 'object' && options.tracker) || 0;
const settings = snippet.settings || 0;

// An attribute that is there, and does not say no.
const isOn = name => name in asked && asked[name] != 'false';

const source = asked.source || (snippet.source || 0).id;
// Where the daemon is: where the script came from, up to its folder.
const endpoint = asked.endpoint || (snippet.url || 0).api || script.src.replace(/\/tracker\/[^/]*$/, '');
const domains = settings.trackExternalLinks || (asked.domains || '').split(/[\s,]+/).filter(Boolean);
// By Do Not Track or Global Privacy Control, which the page may tell to be ignored.
const isRefused =
  (navigator.globalPrivacyControl || navigator.doNotTrack == 1) &&
  asked.dnt != 'ignore' &&
  settings.respectDoNotTrack !== false;
// Who refused is not asked.
const needsConsent = !isRefused && asked.consent == 'required';
