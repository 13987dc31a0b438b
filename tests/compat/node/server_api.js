// LiveKit's own SDK as a caller of the server API: makes every call that it has, in one story, and prints what it was
// answered as one JSON object. LIVEKIT_URL says where; alice and bob are in the room `demo`, and alice publishes the
// track TRACK_SID. An answer that is an error is told by its code.
import {
  AgentDispatchClient,
  DirectFileOutput,
  EgressClient,
  EncodedFileOutput,
  FileOutput,
  IngressClient,
  IngressInput,
  Output,
  RoomServiceClient,
  StartEgressRequest,
  StreamOutput,
  TemplateSource,
  WebhookConfig,
} from 'livekit-server-sdk';
import { DataPacket_Kind } from '@livekit/protocol';

const { LIVEKIT_URL: url, LIVEKIT_API_KEY: key, LIVEKIT_API_SECRET: secret, TRACK_SID: track } = process.env;
const rooms = new RoomServiceClient(url, key, secret);
const egress = new EgressClient(url, key, secret);
const ingress = new IngressClient(url, key, secret);
const dispatch = new AgentDispatchClient(url, key, secret);
const told = {};

const plain = (answer) =>
  Array.isArray(answer) ? answer.map(plain) : answer?.toJson ? answer.toJson() : answer ?? null;

async function tell(name, call) {
  try {
    told[name] = plain(await call());
  } catch (error) {
    told[name] = { error: error.code, status: error.status, message: error.message };
  }
  return told[name];
}

const file = (filepath) => new EncodedFileOutput({ filepath });
const webhooks = [new WebhookConfig({ url: 'http://127.0.0.1:9/hook', signingKey: key })];

await tell('createRoom', () => rooms.createRoom({ name: 'other', emptyTimeout: 77, metadata: 'm' }));
await tell('listRooms', () => rooms.listRooms(['other']));
await tell('updateRoomMetadata', () => rooms.updateRoomMetadata('other', 'new'));
await tell('listParticipants', () => rooms.listParticipants('demo'));
await tell('getParticipant', () => rooms.getParticipant('demo', 'alice'));
await tell('mutePublishedTrack', () => rooms.mutePublishedTrack('demo', 'alice', track, true));
await tell('updateParticipant', () => rooms.updateParticipant('demo', 'alice', { metadata: 'm', attributes: { a: '1' } }));
await tell('updateSubscriptions', () => rooms.updateSubscriptions('demo', 'bob', [track], true));
await tell('sendData', () => rooms.sendData('demo', new TextEncoder().encode('hi'), DataPacket_Kind.RELIABLE, { topic: 't' }));
await tell('forwardParticipant', () => rooms.forwardParticipant('demo', 'bob', 'other'));
await tell('moveParticipant', () => rooms.moveParticipant('demo', 'bob', 'other'));
await tell('removeParticipant', () => rooms.removeParticipant('other', 'bob'));
await tell('deleteRoom', () => rooms.deleteRoom('other'));
await tell('unknownRoom', () => rooms.deleteRoom('unknown'));
await tell('wrongSecret', () => new RoomServiceClient(url, key, 'x'.repeat(32)).listRooms());

const web = await tell('startWebEgress', () => egress.startWebEgress('https://example.com', { stream: new StreamOutput({ urls: ['rtmp://a.example.com/live/key'] }) }));
const composite = await tell('startRoomCompositeEgress', () => egress.startRoomCompositeEgress('demo', { file: file('a.mp4') }, { layout: 'grid', webhooks }));
await tell('startParticipantEgress', () => egress.startParticipantEgress('demo', 'alice', { file: file('b.mp4') }));
await tell('startTrackCompositeEgress', () => egress.startTrackCompositeEgress('demo', { file: file('c.mp4') }, { audioTrackId: track }));
await tell('startTrackEgress', () => egress.startTrackEgress('demo', new DirectFileOutput({ filepath: 'd' }), track));
await tell('startEgress', () => egress.startEgress(new StartEgressRequest({
  roomName: 'demo',
  source: { case: 'template', value: new TemplateSource({ layout: 'grid' }) },
  outputs: [new Output({ config: { case: 'file', value: new FileOutput({ filepath: 'e.mp4' }) } })],
})));
await tell('updateLayout', () => egress.updateLayout(composite.egressId, 'speaker'));
let streaming;
do {
  streaming = await tell('updateStream', () => egress.updateStream(web.egressId, ['rtmp://b.example.com/live/key'], []));
} while (streaming.error === 'failed_precondition'); // it takes a moment until it runs
await tell('listEgress', () => egress.listEgress({ roomName: 'demo' }));
await tell('stopEgress', () => egress.stopEgress(composite.egressId));

const made = await tell('createIngress', () => ingress.createIngress(IngressInput.RTMP_INPUT, { name: 'cam', roomName: 'demo', participantIdentity: 'cam' }));
await tell('updateIngress', () => ingress.updateIngress(made.ingressId, { name: 'new' }));
await tell('listIngress', () => ingress.listIngress({ roomName: 'demo' }));
await tell('deleteIngress', () => ingress.deleteIngress(made.ingressId));

const bot = await tell('createDispatch', () => dispatch.createDispatch('demo', 'bot', { metadata: 'm' }));
await tell('listDispatch', () => dispatch.listDispatch('demo'));
await tell('getDispatch', () => dispatch.getDispatch(bot.id, 'demo'));
await tell('deleteDispatch', () => dispatch.deleteDispatch(bot.id, 'demo'));

console.log(JSON.stringify(told));
