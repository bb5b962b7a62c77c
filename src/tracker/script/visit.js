// Who it is and which visit: the profile's id as the server answers it, and a session's id until 30 minutes of rest.

const VISIT_REST_MS = 18e5;
// Tracardi's own script keeps it under this name: people stay who they are.
const PROFILE = 'tracardi-profile-id';
const SESSION = 'tracardi-session';

// Others write to the storage, too: what can be no id is none.
const asId = value => (value && value.trim && value.length < 129 ? value : '');

const profile = () => (snippet.profile || 0).id || asId(read(PROFILE));

const session = () => {
  const visit = read(SESSION) || 0;
  const at = Date.now();
  const id = (Math.abs(at - visit.at) < VISIT_REST_MS && asId(visit.id)) || uuid();
  write(SESSION, { id, at });
  return id;
};
