/**
 * The unit under a real systemd: a master and a replica become ready and say what they do, a node that is frozen is
 * started again by the watchdog, and a restart under load loses nothing that was acknowledged.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROJECT } from '../project.ts'
import { temporaryDirectory } from '../temp-directory.ts'
import { boot, whyNoContainer } from './systemd-container.ts'

const PAGE = readFileSync(join(PROJECT, 'docs/OPERATIONS.md'), 'utf8')
/** How the page for operators puts the unit in its place, on both machines. */
const INSTALL = /^```sh on=both\n([\s\S]*?)^```$/m.exec(PAGE)?.[1] ?? 'false'

/** Not what is looked at: a short watchdog, and no units of a whole machine around ours. */
const FOR_THE_TEST =
  '[Unit]\nDefaultDependencies=no\nWants=\n[Service]\nWatchdogSec=6\nLimitCORE=0\nStandardError=append:/out/%i\n'

const SCRIPT = `
export NO_COLOR=1
mkdir -p /etc/sysusers.d /etc/tmpfiles.d
ln -s /dev/null /etc/systemd/system/systemd-networkd-wait-online.service # there is no network to wait for
npm() { echo /opt; } # where this container has the package
(set -e; ${INSTALL}) && echo 'installed as the page says'
cp /opt/travertine/config/{master,replica}.toml /etc/travertine/
as() { setpriv --reuid travertine --regid travertine --clear-groups "$@"; }
cd /
cluster=$(as travertine init /var/lib/travertine/master --role master --replica 127.0.0.1:7500 --json | sed 's/.*"clusterId":"\\([^"]*\\)".*/\\1/')
as travertine init /var/lib/travertine/replica --role replica --cluster-id "$cluster" > /dev/null
show() { systemctl show --property "$2" --value "travertine@$1"; }
wait_for() { for i in $(seq 300); do [ "$(show "$1" "$2")" = "$3" ] && return; sleep 0.1; done; echo "never: $2 of $1 is $3"; }

systemctl start travertine@replica travertine@master
wait_for master StatusText 'working: takes sessions, 1 of 1 replicas stream'
for node in master replica; do echo "$node $(show $node ActiveState) $(show $node SubState)"; done
echo "user $(stat --format %U /proc/$(show master MainPID))"

# more than a pipe holds: when all of it is gone, the load is under way; and it goes on until the master is back
(seq 30000; touch /tmp/loads; until [ -e /tmp/restarted ]; do seq 1000; sleep 0.02; done; seq 10000) |
  travertine load - --format lines --batch 20 --json > /tmp/loaded & load=$!
until [ -e /tmp/loads ]; do sleep 0.05; done
before=$(show master MainPID)
systemctl restart travertine@master
touch /tmp/restarted
[ "$(show master MainPID)" != "$before" ] && echo 'restarted under load'
wait $load
cp /tmp/loaded /out/loaded

kill -STOP $(show replica MainPID)
wait_for replica NRestarts 1
wait_for replica ActiveState active
wait_for master StatusText 'working: takes sessions, 1 of 1 replicas stream'
echo "watchdog: $(show replica NRestarts) restart of the replica"
travertine tail 127.0.0.1:7500 | sed 's/.*"key":"\\([0-9]*\\)".*/\\1/' > /out/keys

systemctl stop travertine@master travertine@replica
for node in master replica; do
  echo "$node $(show $node ActiveState) $(show $node Result)"
  travertine verify /var/lib/travertine/$node > /dev/null && echo "$node is as it was written"
done
echo end
`

t.test('master and replica under systemd', { skip: whyNoContainer() }, async (t) => {
  const { out, console } = await boot(t, {
    directory: temporaryDirectory(t),
    script: SCRIPT,
    units: {
      'travertine@.service.d/test.conf': FOR_THE_TEST,
    },
  })
  const lines = out('said').trimEnd().split('\n')
  if (lines.at(-1) !== 'end') t.comment(console, out('errors'), out('master'), out('replica'))
  t.same(lines, [
    'installed as the page says',
    'master active running',
    'replica active running',
    'user travertine',
    'restarted under load',
    'watchdog: 1 restart of the replica',
    'master inactive success',
    'master is as it was written',
    'replica inactive success',
    'replica is as it was written',
    'end',
  ])
  const { throughLine } = JSON.parse(out('loaded')) as { throughLine: number } // our own command; its form has a test
  const keys = new Set(out('keys').split('\n'))
  t.ok(throughLine > 0, `${throughLine} lines were acknowledged`)
  t.same(
    Array.from({ length: throughLine }, (_, i) => String(i + 1)).filter((key) => !keys.has(key)),
    [],
    'whatever was acknowledged before or after the restart is in the log of the replica',
  )
})
