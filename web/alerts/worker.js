// worker.js - the service worker, once it can show notifications.

const WORKER_MS = 10000;      // for it to start

// Resolves to its registration. worker: a file's address, or the registration of the site's own.
export async function workerOf(worker) {
  const isFile = typeof worker === 'string' || worker instanceof URL;
  return activated(isFile ? await navigator.serviceWorker.register(worker) : worker);
}

function activated(registration) {
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (worker?.state === 'activated')
    return registration;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the service worker does not start')), WORKER_MS);
    worker?.addEventListener('statechange', () => {
      if (worker.state !== 'activated' && worker.state !== 'redundant')
        return;
      clearTimeout(timer);
      if (worker.state === 'activated')
        resolve(registration);
      else
        reject(new Error('the service worker did not install'));
    });
  });
}
