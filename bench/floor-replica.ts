/**
 * The floor's "replica": a process with one thread, one listener and one prepared file per channel. What arrives is made
 * durable as it is, and the number of durable bytes is sent back. Nothing is parsed or checked.
 *
 * Started by systems.ts with a FloorReplicaOrder as argument; tells its ports by IPC.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { encodeReply, ReplyType } from '../protocol/log-reply.ts'
import { endWithParent, tellParent } from './child-process.ts'
import { FloorFile } from './floor-file.ts'

export interface FloorReplicaOrder {
  readonly directory: string
  readonly channels: number
  readonly fileBytes: number
}

interface ChannelOrder {
  readonly path: string
  readonly fileBytes: number
}

if (isMainThread) await runProcess()
else await runChannel(workerData as ChannelOrder) // given by runProcess

async function runProcess(): Promise<void> {
  endWithParent()
  const { directory, channels, fileBytes } = JSON.parse(process.argv[2] ?? '{}') as FloorReplicaOrder // by systems.ts
  const ports: number[] = []
  for (let channel = 0; channel < channels; channel++) {
    const order: ChannelOrder = { path: join(directory, `replica-${channel}`), fileBytes }
    const worker = new Worker(new URL(import.meta.url), { workerData: order })
    const [port] = await once(worker, 'message')
    ports.push(port)
  }
  tellParent({ ports })
}

async function runChannel({ path, fileBytes }: ChannelOrder): Promise<void> {
  const file = new FloorFile(path, fileBytes)
  const server = createServer({ noDelay: true }, (socket) => serve(socket, file)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP listener has one
  parentPort?.postMessage(port)
}

function serve(socket: Socket, file: FloorFile): void {
  let batch: Buffer[] = []
  let batchBytes = 0
  let received = 0
  const flush = () => {
    const buffers = batch
    const bytes = batchBytes
    batch = []
    batchBytes = 0
    received += bytes
    file.append(buffers, bytes)
    socket.write(encodeReply(ReplyType.DURABLE, received, received))
  }
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    if (batch.length === 0) setImmediate(flush)
    batch.push(chunk)
    batchBytes += chunk.length
  })
}
