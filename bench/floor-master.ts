/**
 * The floor's "master": bare sockets, a prepared file and fdatasync, once per batch. It speaks just enough of the client's
 * wire that the same client drives it, and gives the same promise for the moment: durable here and on the replica.
 * One listener, one thread, one file and one replica connection per channel, as in DESIGN 2; see floor-channel.ts.
 *
 * Started by systems.ts with a FloorMasterOrder as argument; tells its port by IPC.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { encodeMessage, type Message, MessageReader } from '../protocol/control-message.ts'
import { SECRET_BYTES } from '../protocol/message-field.ts'
import { endWithParent, tellParent } from './child-process.ts'
import { FLOOR_ID, FLOOR_TERM, FloorChannel } from './floor-channel.ts'
import { FloorFile } from './floor-file.ts'

export interface FloorMasterOrder {
  readonly directory: string
  readonly replicaPorts: readonly number[]
  readonly fileBytes: number
}

interface ChannelOrder {
  readonly path: string
  readonly replicaPort: number
  readonly fileBytes: number
}

if (isMainThread) await runProcess()
else await runChannel(workerData as ChannelOrder) // given by runProcess

async function runProcess(): Promise<void> {
  endWithParent()
  const order = JSON.parse(process.argv[2] ?? '{}') as FloorMasterOrder // by systems.ts
  const logPorts: number[] = []
  for (const [channel, replicaPort] of order.replicaPorts.entries()) {
    const path = join(order.directory, `master-${channel}`)
    const data: ChannelOrder = { path, replicaPort, fileBytes: order.fileBytes }
    const worker = new Worker(new URL(import.meta.url), { workerData: data })
    const [logPort] = await once(worker, 'message')
    logPorts.push(logPort)
  }
  const control = createServer({ noDelay: true }, (socket) => serveControl(socket, logPorts)).listen(0, '127.0.0.1')
  await once(control, 'listening')
  const { port } = control.address() as AddressInfo // a TCP listener has one
  tellParent({ port })
}

function serveControl(socket: Socket, logPorts: readonly number[]): void {
  const reader = new MessageReader()
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    for (const message of reader.push(chunk)) {
      const reply = answerControl(message, logPorts)
      if (reply !== undefined) socket.write(encodeMessage(reply))
    }
  })
}

function answerControl(message: Message, logPorts: readonly number[]): Message | undefined {
  if (message.type === 'heartbeat') return { type: 'heartbeat_ok', sequence: message.sequence }
  if (message.type !== 'client_hello') return undefined
  return {
    type: 'client_hello_ok',
    version: 1,
    clusterId: FLOOR_ID,
    nodeId: FLOOR_ID,
    session: 1n,
    secret: Buffer.alloc(SECRET_BYTES),
    term: FLOOR_TERM,
    channels: logPorts.length,
    logPorts,
    stored: 0n,
    propagated: 0n,
    replicas: 1,
  }
}

async function runChannel({ path, replicaPort, fileBytes }: ChannelOrder): Promise<void> {
  const replica = connect({ port: replicaPort, host: '127.0.0.1', noDelay: true })
  await once(replica, 'connect')
  const channel = new FloorChannel(new FloorFile(path, fileBytes), replica)
  const server = createServer({ noDelay: true }, (socket) => channel.serve(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP listener has one
  parentPort?.postMessage(port)
}
