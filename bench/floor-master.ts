/**
 * The floor's "master": bare sockets, a prepared file and fdatasync, once per batch. It speaks just enough of the client's
 * wire that the same client drives it, and gives the same promise for the moment: durable here and on all replicas.
 * One listener, one thread, one file and one connection per replica for each channel, as in DESIGN 2; see floor-channel.ts.
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
  /** Of each channel, in order: the ports of its replicas. */
  readonly replicaPorts: readonly (readonly number[])[]
  readonly fileBytes: number
}

interface ChannelOrder {
  readonly path: string
  readonly replicaPorts: readonly number[]
  readonly fileBytes: number
}

/** What a client is told. */
interface Served {
  readonly logPorts: readonly number[]
  readonly replicas: number
}

if (isMainThread) await runProcess()
else await runChannel(workerData as ChannelOrder) // given by runProcess

async function runProcess(): Promise<void> {
  endWithParent()
  const order = JSON.parse(process.argv[2] ?? '{}') as FloorMasterOrder // by systems.ts
  const logPorts: number[] = []
  for (const [channel, replicaPorts] of order.replicaPorts.entries()) {
    const path = join(order.directory, `master-${channel}`)
    const data: ChannelOrder = { path, replicaPorts, fileBytes: order.fileBytes }
    const worker = new Worker(new URL(import.meta.url), { workerData: data })
    const [logPort] = await once(worker, 'message')
    logPorts.push(logPort)
  }
  const served: Served = { logPorts, replicas: order.replicaPorts[0]?.length ?? 0 }
  const control = createServer({ noDelay: true }, (socket) => serveControl(socket, served)).listen(0, '127.0.0.1')
  await once(control, 'listening')
  const { port } = control.address() as AddressInfo // a TCP listener has one
  tellParent({ port })
}

function serveControl(socket: Socket, served: Served): void {
  const reader = new MessageReader()
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    for (const message of reader.push(chunk)) {
      const reply = answerControl(message, served)
      if (reply !== undefined) socket.write(encodeMessage(reply))
    }
  })
}

function answerControl(message: Message, { logPorts, replicas }: Served): Message | undefined {
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
    replicas,
  }
}

async function runChannel({ path, replicaPorts, fileBytes }: ChannelOrder): Promise<void> {
  const replicas = await Promise.all(replicaPorts.map(connectTo))
  const channel = new FloorChannel(new FloorFile(path, fileBytes), replicas)
  const server = createServer({ noDelay: true }, (socket) => channel.serve(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP listener has one
  parentPort?.postMessage(port)
}

async function connectTo(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  return socket
}
