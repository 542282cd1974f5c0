/**
 * The thread around one channel: gives the channel's actor this thread's disk handle, sockets, timers and message ports.
 * No decisions here.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../protocol/assert.ts'
import { asError, TravertineError, toWireError } from '../../protocol/errors.ts'
import { runAtOnce } from '../../wal/board-machine.ts'
import { NodeDisk } from '../../wal/node-disk.ts'
import { nodeWorld } from '../../world/node-world.ts'
import { TlsNetwork } from '../../world/tls-network.ts'
import { Heartbeat } from '../metrics/heartbeat.ts'
import { MeasuredDisk } from '../metrics/measured-disk.ts'
import { StatSlots } from '../metrics/stat-slots.ts'
import { ChannelActor } from './channel-actor.ts'
import { DoorbellPreparer } from './segment-preparer.ts'
import type { ChannelThreadStart, FromChannel, RenewTls, ToChannel } from './thread-messages.ts'

assert(parentPort !== null, 'a channel thread is a worker')
const port = parentPort
const { start, wakePorts, tls } = workerData as ChannelThreadStart // set by channel-threads.ts, the only starter of this file

const tlsNetwork = tls === undefined ? undefined : new TlsNetwork(tls)

const say = (message: FromChannel): void => port.postMessage(message)

const stats = new StatSlots(start.stats)
const actor = new ChannelActor(start, {
  world: { ...nodeWorld, network: tlsNetwork ?? nodeWorld.network },
  disk: new MeasuredDisk(new NodeDisk(), {
    wrote: (ms) => stats.observe('write', ms),
    flushed: (ms) => stats.observe('fdatasync', ms),
  }),
  run: runAtOnce,
  preparer: new DoorbellPreparer(start.doorbell, (base, filling) => say({ type: 'prepare', base, filling })),
  say,
  wake: (channel) => wakePorts[channel]?.postMessage(0),
  onStopped: () => {
    heartbeat.stop()
    port.close()
    for (const wakePort of wakePorts) wakePort?.close()
  },
})

const heartbeat = new Heartbeat(stats, () => actor.heartbeat())
for (const wakePort of wakePorts) wakePort?.on('message', () => actor.wakened())
port.on('message', (message: ToChannel | RenewTls) => {
  if (message.type === 'renewTls') tlsNetwork?.renew(message.tls)
  else actor.handle(message)
})
actor.listen().then(
  (listening) => say({ type: 'listening', port: listening }),
  (thrown: unknown) => {
    if (!(thrown instanceof TravertineError)) throw asError(thrown)
    say({ type: 'failed', error: toWireError(thrown) })
  },
)
