//! What the queue promises, in every order of threads.
