// ledger.js - what the page and its service worker share: how it has subscribed to Web Push, and
// which rows were shown. In IndexedDB, as the worker has no other store.
//
// A row that comes by stream and by push is taken by one of the two: an entry can be added once.

const LEDGER = 'rowcast-alerts';
const SHOWN_MAX = 1000;       // rows that are remembered

function openLedger() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(LEDGER, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('config');
      request.result.createObjectStore('shown', { keyPath: 'key' }).createIndex('at', 'at');
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// Runs fn on a store, in one transaction; resolves to the result of the request that fn returns.
async function inLedger(store, mode, fn) {
  const database = await openLedger();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode);
      const request = fn(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const readConfig = () => inLedger('config', 'readonly', (store) => store.get('push'));
export const writeConfig = (config) => inLedger('config', 'readwrite',
  (store) => (config === null ? store.delete('push') : store.put(config, 'push')));

function forgetOldest(store) {
  store.count().onsuccess = ({ target }) => {
    let others = target.result - SHOWN_MAX;
    if (others <= 0)
      return;
    store.index('at').openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (cursor === null || others-- <= 0)
        return;
      cursor.delete();
      cursor.continue();
    };
  };
}

// Whether the caller is the one to show the row. Without a working store everyone is: the tags
// make a second notification replace the first.
export async function takeRow(name, id) {
  try {
    await inLedger('shown', 'readwrite', (store) => {
      store.add({ key: `${name}:${id}`, at: Date.now() });
      forgetOldest(store);
    });
    return true;
  } catch (error) {
    return error?.name !== 'ConstraintError';
  }
}
