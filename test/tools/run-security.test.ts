/** `travertine run` with secrets and TLS from files: asked for, renewed by SIGHUP, never shown. */
import { readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { join } from 'node:path'
import t from 'tap'
import { connect } from '../../client/client.ts'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { runHere } from './in-process.ts'
import { newMaster } from './node-pair.ts'
import { errorCode, lastObject, start } from './travertine.ts'

const OLD = 'old-0123456789abcdef0123456789abcdef'
const NEW = 'new-0123456789abcdef0123456789abcdef'
const key = (name: string): string => join(PROJECT, 'test/tls/keys', name)

t.test('a secret file is asked for, and read again at SIGHUP; no secret is in the log', async (t) => {
  const directory = temporaryDirectory(t)
  const secretFile = join(directory, 'secrets')
  writeFileSync(secretFile, `all ${OLD}\n`)
  newMaster(join(directory, 'master'))
  const env = { TRAVERTINE_SECURITY_SECRET_FILE: secretFile }
  const node = start(t, ['run', join(directory, 'master'), '--port', '0', '--no-admin', '--json'], { env })
  const [line] = await node.has('stdout', /^.+\n/)
  const address = `127.0.0.1:${JSON.parse(line).port}`
  const connects = (secret: string): Promise<boolean> =>
    connect({ address, security: { secret } }).then(
      async (client) => client.close().then(() => true),
      () => false,
    )
  t.same([await connects(OLD), await connects(NEW)], [true, false])
  writeFileSync(secretFile, `all ${NEW}\nall ${OLD}\n`)
  node.kill('SIGHUP')
  await node.has('stderr', /SIGHUP: .+read again/)
  t.same([await connects(OLD), await connects(NEW)], [true, true])
  writeFileSync(secretFile, 'nonsense\n')
  node.kill('SIGHUP')
  await node.has('stderr', /CONFIG_INVALID/)
  t.same([await connects(OLD), await connects(NEW)], [true, true], 'a bad file changes nothing')
  node.kill('SIGTERM')
  const { code, stdout, stderr } = await node.ended
  t.equal(code, 0)
  for (const secret of [OLD, NEW]) t.notMatch(stdout + stderr, secret)
})

t.test('TLS files: used on all ports, checked before anything is started', async (t) => {
  const directory = temporaryDirectory(t)
  newMaster(join(directory, 'master'))
  const words = ['run', join(directory, 'master'), '--port', '0', '--admin-port', '0', '--json']
  const env = {
    TRAVERTINE_SECURITY_TLS_CERTIFICATE_FILE: key('node.crt'),
    TRAVERTINE_SECURITY_TLS_KEY_FILE: key('node.key'),
    TRAVERTINE_SECURITY_TLS_AUTHORITY_FILE: key('ca.crt'),
  }
  const node = start(t, words, { env: { ...env, TRAVERTINE_ADMIN_TLS: 'true' } })
  const [line] = await node.has('stdout', /^.+\n/)
  const { port, admin } = JSON.parse(line) as { port: number; admin: { port: number } } // of our own command
  const address = `127.0.0.1:${port}`
  const ca = readFileSync(key('ca.crt'))
  t.equal(await statusOfGet({ port: admin.port, ca }), 200, 'the admin port, too')
  t.equal(await statusOfGet({ port: admin.port }), 'SELF_SIGNED_CERT_IN_CHAIN')
  await t.rejects(fetch(`http://127.0.0.1:${admin.port}/healthz`), 'and no plain HTTP there')
  await t.rejects(connect({ address }), { code: 'CONNECT_FAILED' })
  const { readTlsFiles } = await import('../../world/tls-network.ts')
  const client = await connect({ address, security: { tls: readTlsFiles({ authorityFile: key('ca.crt') }) } })
  const entry = { op: 'put', storage: 1, key: 'key', value: Buffer.from('value') } as const
  t.ok(await client.write([entry], { level: 'stored' }))
  await client.close()
  node.kill('SIGTERM')
  t.equal((await node.ended).code, 0)
  const wrong = await runHere(words, { ...env, TRAVERTINE_SECURITY_TLS_KEY_FILE: key('client.key') })
  t.equal(wrong.code, 2)
  t.equal(errorCode(lastObject(wrong)), 'CONFIG_INVALID')
})

t.test('an address that others reach is refused without a secret or TLS, also that of the admin port', async (t) => {
  const directory = temporaryDirectory(t)
  newMaster(join(directory, 'master'))
  const secretFile = join(directory, 'secrets')
  writeFileSync(secretFile, `all ${OLD}\n`)
  const secret = { TRAVERTINE_SECURITY_SECRET_FILE: secretFile }
  for (const [what, words, env] of [
    ['host', ['--host', '0.0.0.0', '--no-admin'], {}],
    ['admin.host', ['--admin-host', '0.0.0.0'], secret],
    ['admin.tls', [], { ...secret, TRAVERTINE_ADMIN_TLS: 'true' }],
  ] as const) {
    const refused = await runHere(['run', join(directory, 'master'), '--port', '0', ...words, '--json'], env)
    t.equal(refused.code, 2, what)
    t.match(lastObject(refused), { ok: false, error: { code: 'CONFIG_INVALID', where: { key: what } } })
  }
})

/** The code of the answer, or why there is none. */
function statusOfGet(at: { readonly port: number; readonly ca?: Buffer }): Promise<number | string | undefined> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', path: '/healthz', agent: false, ...at }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
}
