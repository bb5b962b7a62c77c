// What is kept in the browser. Where storage is forbidden or full, it is kept as long as the page is open.

const memory = {};

// Others write there, too: what cannot be read is none.
const read = name => safe(() => JSON.parse(memory[name] || localStorage.getItem(name)))();

const write = (name, value) => {
  memory[name] = JSON.stringify(value);
  safe(() => {
    localStorage.setItem(name, memory[name]);
    delete memory[name];
  })();
};

const forget = name => {
  delete memory[name];
  safe(() => localStorage.removeItem(name))();
};

const stored = () => Object.keys(memory).concat(safe(() => Object.keys(localStorage))() || []);

// A UUID of version 7, up to the year 2527: what is made at one time stands together in the store.
const uuid = () =>
  '0' + Date.now().toString(16).replace(/.{7}/, '$&-') +
  '-7000-8000-000000000000'.replace(/0/g, () => (crypto.getRandomValues(new Uint8Array(1))[0] >> 4).toString(16));
