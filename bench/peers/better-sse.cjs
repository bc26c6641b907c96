// Express with better-sse: /sub streams, a POST to /pub goes to all of them.
const express = require("express");
const { createSession, createChannel } = require("better-sse");

const app = express();
const channel = createChannel();

app.get("/sub", async (req, res) => {
	const session = await createSession(req, res, { serializer: String });
	channel.register(session);
	res.write(": open\n\n");
});
app.post("/pub", express.text(), (req, res) => {
	channel.broadcast(req.body, "message");
	res.sendStatus(202);
});
app.listen(Number(process.env.PORT), "127.0.0.1", 4096);
