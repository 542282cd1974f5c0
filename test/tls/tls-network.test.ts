/** REP-55: the network door on TLS, on real sockets: who is let in, who is not, and new certificates without a restart. */
import { writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import type { Connection, Listener } from '../../protocol/connection.ts'
import { TravertineError } from '../../protocol/errors.ts'
import { readTlsFiles, type TlsMaterial, TlsNetwork } from '../../world/tls-network.ts'
import { repositoryRoot } from '../protocol/repository-root.ts'
import { temporaryDirectory } from '../temp-directory.ts'

const file = (name: string): string => join(repositoryRoot, 'test/tls/keys', name)
const material = (name: string): TlsMaterial =>
  readTlsFiles({ certificateFile: file(`${name}.crt`), keyFile: file(`${name}.key`), authorityFile: file('ca.crt') })
const authority = readTlsFiles({ authorityFile: file('ca.crt') })

type Teardown = { teardown(act: () => unknown): unknown }

/** Answers what it hears. */
async function listen(t: Teardown, network: TlsNetwork): Promise<Listener> {
  const at = { host: '127.0.0.1', port: 0, connectionLimit: 10, addressLimit: 10 }
  const accept = (connection: Connection): void => {
    t.teardown(() => connection.destroy())
    connection.handle({ data: (chunk) => connection.write(chunk), closed: () => undefined })
  }
  const listener = await network.listen(at, accept, (connection) => connection.destroy())
  t.teardown(() => listener.close())
  return listener
}

/** What comes back for a word; or why nothing does. */
function ask(t: Teardown, connection: Connection): Promise<string> {
  t.teardown(() => connection.destroy())
  return new Promise((resolve) => {
    let heard = ''
    connection.handle({
      opened: () => connection.write(Buffer.from('word')),
      data: (chunk) => {
        heard += chunk.toString()
        if (heard === 'word') resolve(heard)
      },
      closed: (cause) => resolve(`closed: ${cause?.message ?? 'without a word'}`),
    })
  })
}

t.test('a client that trusts the authority talks to a node; another one does not', async (t) => {
  const { port } = await listen(t, new TlsNetwork(material('node')))
  t.equal(await ask(t, new TlsNetwork(authority).dial('127.0.0.1', port)), 'word')
  t.equal(await ask(t, new TlsNetwork(authority).dial('localhost', port)), 'word')
  t.match(await ask(t, new TlsNetwork({}).dial('127.0.0.1', port)), /closed: .*certificate/)
})

t.test('the certificate must name what was dialled, or what is expected instead', async (t) => {
  const { port } = await listen(t, new TlsNetwork(material('elsewhere')))
  t.match(await ask(t, new TlsNetwork(authority).dial('127.0.0.1', port)), /closed: .*(altnames|does not match)/)
  const expecting = new TlsNetwork({ ...authority, serverName: 'elsewhere.example' })
  t.equal(await ask(t, expecting.dial('127.0.0.1', port)), 'word')
})

t.test('a node that asks for certificates takes those of its authority only', async (t) => {
  const { port } = await listen(t, new TlsNetwork({ ...material('node'), requireClientCertificate: true }))
  t.equal(await ask(t, new TlsNetwork(material('client')).dial('127.0.0.1', port)), 'word')
  t.match(await ask(t, new TlsNetwork(authority).dial('127.0.0.1', port)), /closed/)
  t.match(await ask(t, new TlsNetwork(material('stranger')).dial('127.0.0.1', port)), /closed/)
  t.equal(await ask(t, new TlsNetwork(material('client')).dial('127.0.0.1', port)), 'word', 'and is still there')
})

t.test('plain bytes, garbage and old versions are cut, others live on', async (t) => {
  const { port } = await listen(t, new TlsNetwork(material('node')))
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(100_000, 0xff)]) {
    const socket = connectPlain({ host: '127.0.0.1', port })
    socket.on('error', () => undefined)
    socket.resume()
    socket.write(bytes)
    await new Promise((resolve) => socket.once('close', resolve))
  }
  const old = connectTls({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
  })
  await new Promise<void>((resolve) => {
    old.once('secureConnect', () => t.fail('TLS 1.1 is refused'))
    old.once('error', () => resolve())
  })
  t.equal(await ask(t, new TlsNetwork(authority).dial('127.0.0.1', port)), 'word')
})

t.test('renewed certificates are shown to new connections; those that are up go on', async (t) => {
  const server = new TlsNetwork(material('node'))
  const { port } = await listen(t, server)
  const serialNumber = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ host: '127.0.0.1', port, ca: authority.authority })
      socket.once('error', reject)
      socket.once('secureConnect', () => {
        resolve(socket.getPeerCertificate().serialNumber)
        socket.destroy()
      })
    })
  const before = await serialNumber()
  const connection = new TlsNetwork(authority).dial('127.0.0.1', port)
  t.equal(await ask(t, connection), 'word')
  server.renew(material('node-renewed'))
  t.not(await serialNumber(), before)
  const answer = new Promise<string>((resolve) =>
    connection.handle({ data: (chunk) => resolve(chunk.toString()), closed: () => resolve('closed') }),
  )
  connection.write(Buffer.from('still here'))
  t.equal(await answer, 'still here')
  t.throws(() => server.renew({ ...material('node'), key: material('client').key }), { code: 'CONFIG_INVALID' })
  t.equal(await ask(t, new TlsNetwork(authority).dial('127.0.0.1', port)), 'word', 'a bad renewal changes nothing')
})

t.test('files that cannot be used are named', (t) => {
  const broken = join(temporaryDirectory(t), 'broken.pem')
  writeFileSync(broken, 'not a certificate')
  for (const files of [
    { certificateFile: file('node.crt'), keyFile: file('client.key') },
    { certificateFile: broken, keyFile: file('node.key') },
    { authorityFile: `${broken}.missing` },
  ]) {
    try {
      readTlsFiles(files)
      t.fail(JSON.stringify(files))
    } catch (error) {
      t.ok(error instanceof TravertineError && error.code === 'CONFIG_INVALID' && error.where.file !== '')
    }
  }
  t.end()
})
