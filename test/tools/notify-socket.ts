/** The socket that systemd listens on for its services: a Unix datagram socket, which Node has not, read by a small Python program. */
import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'

interface Teardown {
  teardown(handler: () => unknown): unknown
}

const PROGRAM = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('listens', flush=True)
while True:
    for line in s.recv(65536).decode().splitlines():
        print(line, flush=True)
`

/** false, or why there can be none here. */
export const noNotifySocket: string | false =
  spawnSync('python3', ['--version']).status !== 0
    ? 'python3 is not installed'
    : spawnSync('systemd-notify', ['--version']).status !== 0 && 'systemd-notify is not installed (Debian: systemd)'

export class NotifySocket {
  readonly path: string
  /** Everything that was told, a line each. */
  heard: readonly string[] = []

  private constructor(path: string) {
    this.path = path
  }

  static listen(t: Teardown, directory: string): Promise<NotifySocket> {
    const socket = new NotifySocket(join(directory, 'notify'))
    const python = spawn('python3', ['-c', PROGRAM, socket.path], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise((resolve) => python.once('close', resolve))
    t.teardown(() => {
      python.kill('SIGKILL')
      return ended
    })
    let text = ''
    return new Promise((resolve) => {
      python.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        socket.heard = text.split('\n').slice(1, -1)
        if (text.startsWith('listens\n')) resolve(socket)
      })
    })
  }
}
