/**
 * The least that a catch-up can cost, for `npm run bench:catch-up -- --bare`: one process reads a file and sends it, another one
 * writes it down and flushes it, in pieces and flushes as large as those of a master and its replica. Nothing is parsed,
 * checked or acknowledged, and neither process does anything else, where a master sends from the thread that writers wait for.
 *
 * Started by catch-up-bare.ts with a CopyOrder as argument. The sender tells when its file is there, sends when it is told a port,
 * and tells when all has left it.
 */
import { once } from 'node:events'
import { closeSync, fdatasyncSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { KIB, LOG_SLICE_BYTES, MIB, REPLICA_FLUSH_BYTES_LIMIT } from '../protocol/limits.ts'
import { endWithParent, tellParent } from './child-process.ts'

export interface CopyOrder {
  readonly role: 'sender' | 'receiver'
  readonly path: string
  readonly bytes: number
}

/** As node-disk.ts does, and for its reason. */
const WRITE_BYTES = 256 * KIB

const { role, path, bytes } = JSON.parse(process.argv[2] ?? '{}') as CopyOrder // by catch-up-bare.ts
endWithParent()
if (role === 'sender') beSender()
else await beReceiver()

function beSender(): void {
  const file = openSync(path, 'wx+')
  const block = Buffer.alloc(MIB)
  for (let at = 0; at < block.length; at += 4) block.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, at) // no two sectors alike
  for (let at = 0; at < bytes; at += block.length) writeSync(file, block, 0, Math.min(block.length, bytes - at), at)
  fsyncSync(file)
  process.on('message', ({ port }: { port: number }) => void send(file, port))
  tellParent({ isReady: true })
}

async function send(file: number, port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const free: Buffer[] = []
  for (let at = 0; at < bytes; ) {
    const buffer = free.pop() ?? Buffer.allocUnsafeSlow(LOG_SLICE_BYTES)
    const got = readSync(file, buffer, 0, Math.min(buffer.length, bytes - at), at)
    at += got
    if (!socket.write(buffer.subarray(0, got), () => free.push(buffer))) await once(socket, 'drain')
  }
  socket.end(() => tellParent({ isSent: true }))
  closeSync(file)
}

async function beReceiver(): Promise<void> {
  const file = openSync(path, 'wx')
  let written = 0
  let flushed = 0
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      for (let done = 0; done < chunk.length; )
        done += writeSync(file, chunk, done, Math.min(WRITE_BYTES, chunk.length - done), written + done)
      written += chunk.length
      if (written - flushed < REPLICA_FLUSH_BYTES_LIMIT && written < bytes) return
      fdatasyncSync(file)
      flushed = written
      if (flushed === bytes) tellParent({ bytes: flushed })
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP listener has one
  tellParent({ port })
}
