// Nothing that the script does throws into the page: what fails is left out, and the page goes on.

const safe = run =>
  function () {
    try {
      return run.apply(this, arguments);
    } catch {
      // the page has nothing to do with it
    }
  };

// The same, for what always answers a promise.
const promised = run => async (...said) => safe(run)(...said);

const on = (target, name, listener) => target.addEventListener(name, safe(listener), true);
