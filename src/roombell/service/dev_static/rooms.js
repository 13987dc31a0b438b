// The development page: joins a room with LiveKit's own browser client, and shows events and deliveries as they happen.
'use strict';

const { Room, RoomEvent, Track, ConnectionState } = LivekitClient;
const byId = (id) => document.getElementById(id);
const EVENTS_MAX = 500;
const ENDINGS = /_(finished|left|unpublished|aborted|ended)$/;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The room

let room = null;

function setTrouble(text) {
  byId('trouble').textContent = text;
  byId('trouble').hidden = !text;
}

function tileOf(participant) {
  const tile = element('article', 'person');
  tile.dataset.identity = participant.identity;
  const camera = participant.getTrackPublication(Track.Source.Camera);
  const isShown = camera && camera.track && !camera.isMuted;
  tile.append(isShown ? videoOf(camera.track, participant.isLocal) : element('div', 'letter', (participant.identity[0] || '?').toUpperCase()));
  const footer = element('footer');
  footer.append(element('b', '', participant.identity));
  if (participant.isLocal) footer.append(element('span', '', '(you)'));
  const microphone = participant.getTrackPublication(Track.Source.Microphone);
  const isHeard = microphone && !microphone.isMuted;
  footer.append(element('span', isHeard ? 'on' : 'off', isHeard ? 'mic on' : 'mic off'));
  tile.append(footer);
  return tile;
}

function videoOf(track, isLocal) {
  const video = track.attachedElements[0] || track.attach();
  video.playsInline = true;
  video.muted = isLocal;
  return video;
}

function showPeople() {
  const people = room ? [room.localParticipant, ...room.remoteParticipants.values()] : [];
  byId('people').replaceChildren(...people.map(tileOf));
  byId('hint').hidden = people.length > 1;
  if (!room) return;
  const others = people.length - 1;
  const words = others === 0 ? 'nobody else is here' : others === 1 ? 'one other is here' : `${others} others are here`;
  byId('state').textContent = room.state === ConnectionState.Connected ? words : `${room.state} …`;
  for (const [id, isOn] of [
    ['microphone', room.localParticipant.isMicrophoneEnabled],
    ['camera', room.localParticipant.isCameraEnabled],
  ]) {
    byId(id).setAttribute('aria-pressed', String(isOn));
    byId(id).textContent = `${id === 'camera' ? 'Camera' : 'Mic'} ${isOn ? 'on' : 'off'}`;
  }
}

function showJoined(isJoined, roomName = '') {
  byId('join').hidden = isJoined;
  byId('controls').hidden = !isJoined;
  byId('where').textContent = roomName;
  byId('another').href = `/?${new URLSearchParams({ room: roomName })}`;
}

function onTrack(track) {
  if (track.kind === Track.Kind.Audio) document.body.append(track.attach());
  showPeople();
}

function onTrackGone(track) {
  for (const attached of track.detach()) attached.remove();
  showPeople();
}

function onDisconnected(reason) {
  room = null;
  showJoined(false);
  showPeople();
  const words = reason === undefined ? '' : LivekitClient.DisconnectReason[reason];
  if (words && words !== 'CLIENT_INITIATED') setTrouble(`You are out of the room: ${words.toLowerCase().replaceAll('_', ' ')}.`);
}

function newRoom() {
  const made = new Room({ publishDefaults: { simulcast: false } });
  made.on(RoomEvent.TrackSubscribed, onTrack);
  made.on(RoomEvent.TrackUnsubscribed, onTrackGone);
  made.on(RoomEvent.LocalTrackUnpublished, (publication) => publication.track && onTrackGone(publication.track));
  made.on(RoomEvent.Disconnected, onDisconnected);
  for (const name of [
    'ParticipantConnected', 'ParticipantDisconnected', 'TrackMuted', 'TrackUnmuted', 'TrackPublished',
    'TrackUnpublished', 'LocalTrackPublished', 'ConnectionStateChanged', 'Reconnected',
  ]) {
    made.on(RoomEvent[name], showPeople);
  }
  return made;
}

async function join(form) {
  const wanted = new FormData(form);
  const query = new URLSearchParams({ room: wanted.get('room'), identity: wanted.get('identity') });
  const answer = await fetch(`/dev/token?${query}`);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message);
  const joining = newRoom();
  await joining.connect(`ws://${location.hostname}:${told.port}`, told.token);
  room = joining;
  showJoined(true, wanted.get('room'));
  showPeople();
  for (const [name, start] of [
    ['microphone', () => joining.localParticipant.setMicrophoneEnabled(true)],
    ['camera', () => joining.localParticipant.setCameraEnabled(true)],
  ]) {
    if (wanted.get(name)) await start().catch((error) => setTrouble(`No ${name}: ${error.message}.`));
  }
  showPeople();
}

byId('join').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button');
  setTrouble('');
  button.disabled = true;
  try {
    await join(event.target);
  } catch (error) {
    setTrouble(`The room could not be joined: ${error.message}`);
  } finally {
    button.disabled = false;
  }
});
byId('leave').addEventListener('click', () => room && room.disconnect());
for (const [id, toggle] of [
  ['microphone', (me) => me.setMicrophoneEnabled(!me.isMicrophoneEnabled)],
  ['camera', (me) => me.setCameraEnabled(!me.isCameraEnabled)],
]) {
  byId(id).addEventListener('click', async () => {
    setTrouble('');
    if (room) await toggle(room.localParticipant).catch((error) => setTrouble(`No ${id}: ${error.message}.`));
    showPeople();
  });
}

const NAMES = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi'];
const asked = new URLSearchParams(location.search);
byId('join').elements.room.value = asked.get('room') || 'lab';
byId('join').elements.identity.value = asked.get('identity') || `${NAMES[Math.floor(Math.random() * NAMES.length)]}-${Math.floor(Math.random() * 90) + 10}`;

// The events

const known = new Map();

function took(ms) {
  if (ms < 10000) return `${ms} ms`;
  return ms < 120000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60000)} min`;
}

function deliveryOf(endpoint, delivery) {
  const answer = delivery.status ? String(delivery.status) : delivery.detail || 'no answer';
  const words = {
    delivered: `${answer} in ${took(delivery.took_ms)}`,
    retry: `${answer}, tried ${delivery.attempt} ${delivery.attempt === 1 ? 'time' : 'times'}, comes again`,
    dead: `given up after ${delivery.attempt}: ${answer}`,
    disable: `endpoint disabled: ${answer}`,
  };
  const made = element('li', `delivery ${delivery.state}`, `${endpoint}: ${words[delivery.state] || delivery.state}`);
  made.title = delivery.detail;
  return made;
}

function rowOf(event) {
  const row = element('li');
  row.dataset.event = event.event;
  const at = new Date(event.at_ms);
  row.append(element('time', '', `${at.toLocaleTimeString([], { hour12: false })}.${String(at.getMilliseconds()).padStart(3, '0')}`));
  const what = element('div');
  const tone = event.event.startsWith('room_') ? 'room' : ENDINGS.test(event.event) ? 'end' : '';
  what.append(element('b', tone, event.event));
  const about = element('div', 'about', [event.room, event.participant].filter(Boolean).join(' · '));
  if (event.resource) about.append(about.textContent ? ' · ' : '', element('code', '', event.resource));
  what.append(about);
  row.append(what);
  const deliveries = element('ul', 'deliveries');
  const told = Object.entries(event.deliveries);
  deliveries.append(...told.map(([endpoint, delivery]) => deliveryOf(endpoint, delivery)));
  const waiting = event.owed - told.length;
  if (waiting > 0) deliveries.append(element('li', 'delivery waiting', `${waiting} on the way`));
  row.append(deliveries);
  return row;
}

function show(event) {
  const row = rowOf(event);
  const before = known.get(event.id);
  known.set(event.id, row);
  if (before) before.replaceWith(row);
  else byId('list').prepend(row);
  if (known.size > EVENTS_MAX) {
    const [oldest, its] = known.entries().next().value;
    known.delete(oldest);
    its.remove();
  }
}

async function follow() {
  let version = 0;
  for (;;) {
    try {
      const answer = await fetch(`/dev/live?after=${version}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const told = await answer.json();
      if (told.version < version) location.reload(); // the service was started anew
      version = told.version;
      told.events.forEach(show);
      byId('none').hidden = known.size > 0;
      byId('feed').textContent = 'live';
    } catch {
      byId('feed').textContent = 'the service does not answer; trying again …';
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

follow();
