// web-push.cjs - npm's web-push as a peer of `rowcast push`: one text to all subscriptions of a
// file, so many at once, over connections that are kept. Prints the seconds.
const { readFileSync } = require('node:fs');
const { Agent } = require('node:https');
const webpush = require('web-push');

const { subscriptions, text, at_once: atOnce, public: publicKey, private: privateKey, subject } =
  JSON.parse(readFileSync(process.argv[2]));
const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
webpush.setVapidDetails(subject, publicKey, privateKey);

let next = 0;
async function sender() {
  while (next < subscriptions.length) {
    const { statusCode } = await webpush.sendNotification(subscriptions[next++], text, { agent });
    if (statusCode !== 201)
      throw new Error(`answered ${statusCode}`);
  }
}

(async () => {
  const began = performance.now();
  await Promise.all(Array.from({ length: atOnce }, sender));
  console.log((performance.now() - began) / 1000);
  agent.destroy();
})();
