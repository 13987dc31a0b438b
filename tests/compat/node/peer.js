// LiveKit's own SDK as a peer over HTTP: POST /webhook receives as an application would, GET /events tells what was
// understood, POST /sign answers with the token that the SDK makes for the body. Prints its port, then serves until
// its standard input ends.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { AccessToken, WebhookReceiver } from 'livekit-server-sdk';

const apiKey = process.env.LIVEKIT_API_KEY;
const apiSecret = process.env.LIVEKIT_API_SECRET;
const receiver = new WebhookReceiver(apiKey, apiSecret);
const events = [];

async function bodyOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function receive(request) {
  const event = await receiver.receive((await bodyOf(request)).toString(), request.headers.authorization);
  events.push(event.toJson());
  return [200, ''];
}

async function sign(request) {
  const token = new AccessToken(apiKey, apiSecret, { ttl: 300 });
  token.sha256 = createHash('sha256').update(await bodyOf(request)).digest('base64');
  return [200, await token.toJwt()];
}

const routes = {
  'POST /webhook': receive,
  'POST /sign': sign,
  'GET /events': async () => [200, JSON.stringify(events)],
};

const server = createServer(async (request, response) => {
  const route = routes[`${request.method} ${request.url}`];
  let answer = [404, 'there is nothing here'];
  try {
    if (route) answer = await route(request);
  } catch (error) {
    answer = [401, String(error)];
  }
  response.writeHead(answer[0]).end(answer[1]);
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit(0));
