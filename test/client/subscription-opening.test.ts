/** A subscription whose channels are being opened: where one of them is refused, nothing is left of the others. */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { subscribe } from '../../client/client.ts'
import { encodeMessage, MessageReader } from '../../protocol/control-message.ts'
import { TravertineError, toWireError } from '../../protocol/errors.ts'
import { SeededRandom } from '../sim/seeded-random.ts'
import { helloOf, ModelLog } from './model-log.ts'

t.test('the connections of channels that were opened before are closed', async (t) => {
  const log = new ModelLog(2, new SeededRandom(3))
  const error = toWireError(new TravertineError('LOG_DROPPED', 'Cannot read the log from there on'))
  const sockets: Socket[] = []
  let [first, answered]: ((done: boolean) => void)[] = []
  const firstEnds = new Promise((resolve) => {
    first = resolve
  })
  const firstIsAnswered = new Promise((resolve) => {
    answered = resolve
  })
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const reader = new MessageReader()
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) {
        if (message.type === 'reader_hello') {
          const { port } = server.address() as AddressInfo // it listens on TCP
          const hello = helloOf(log, [port, port])
          socket.write(encodeMessage(hello))
        } else if (message.type === 'log_read' && message.channel === 0) {
          socket.once('end', () => first?.(true))
          socket.once('close', () => first?.(true))
          socket.write(encodeMessage({ type: 'log_read_ok', position: message.position }), () => answered?.(true))
        } else if (message.type === 'log_read') {
          void firstIsAnswered.then(() => setImmediate(() => socket.write(encodeMessage({ type: 'error', error }))))
        }
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo // it listens on a port
  await t.rejects(subscribe({ address: `127.0.0.1:${port}` }), { code: 'LOG_DROPPED' })
  await firstEnds
})
