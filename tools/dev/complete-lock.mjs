/**
 * Completes package-lock.json after `npm install` through a registry mirror that lacks packages for other platforms.
 *
 * Such a package is optional, so npm leaves it out of the lock file without a word; `npm ci` then refuses the whole
 * file as "out of sync". This adds what is missing: its version is pinned by the package that wants it, its platform
 * is in its name. Run it by hand when the check of the lock file says so: `node tools/dev/complete-lock.mjs`.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const LIBRARIES = { gnu: 'glibc', musl: 'musl' }

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'))
for (const [path, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (lock.packages[`${path}/node_modules/${name}`] ?? lock.packages[`node_modules/${name}`]) continue
    lock.packages[`node_modules/${name}`] = entryOf(name, version, dev)
    console.log(`added ${name} ${version}`)
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')))
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`)

/** `binding-linux-ppc64-gnu`: the words behind the system are processor and library. */
function entryOf(name, version, dev) {
  const words = name.split(/[/-]/)
  const at = words.findIndex((word) => SYSTEMS.includes(word))
  const cpu = words[at + 1]
  if (at === -1 || cpu === undefined || !/^\d+\.\d+\.\d+$/.test(version)) {
    throw new Error(`Cannot complete the lock file: found ${name} ${version}, expected a platform and an exact version`)
  }
  const library = LIBRARIES[words[at + 2]]
  return {
    version,
    cpu: [cpu],
    ...(dev ? { dev } : {}),
    ...(library === undefined ? {} : { libc: [library] }),
    optional: true,
    os: [words[at]],
  }
}
