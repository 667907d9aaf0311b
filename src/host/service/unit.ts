/** What starts server and worker with the computer, as text: a systemd user unit, a launchd agent. Pure. */
export interface ServiceSpec {
  /** `bottle`, or one of its own for another installation of the same user. */
  name: string;
  /** Program and arguments, absolute: `node`, its script, `serve`. */
  command: readonly string[];
  environment: Readonly<Record<string, string>>;
  /** Of variables, `NAME=value` a line, read at every start where it exists (systemd only). */
  environmentFile: string;
  /** Where what it prints goes (launchd only; systemd has its journal). */
  log: string;
}

const DESCRIPTION = 'bottle: the Temporal server and the worker of this host';
/** A worker lets its running steps come to an end. */
const STOP_SECONDS = 90;

/** @see systemd.service(5), systemd.syntax(7) */
export function systemdUnit({ command, environment, environmentFile }: ServiceSpec): string {
  return `[Unit]
Description=${DESCRIPTION}

[Service]
Type=exec
ExecStart=${command.map((word) => quoted(word.replaceAll('$', '$$$$'))).join(' ')}
${Object.entries(environment)
  .map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`)
  .join('\n')}
EnvironmentFile=-${environmentFile.replaceAll('%', '%%')}
Restart=on-failure
RestartSec=5
KillMode=mixed
TimeoutStopSec=${STOP_SECONDS}

[Install]
WantedBy=default.target
`;
}

/** In systemd's way: `%` begins a specifier. */
const quoted = (text: string): string =>
  `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%').replaceAll('\n', '\\n')}"`;

/** @see launchd.plist(5) */
export function launchAgent({ name, command, environment, log }: ServiceSpec): string {
  const strings = (values: readonly string[]): string =>
    values.map((value) => `    <string>${escaped(value)}</string>`).join('\n');
  const pairs = Object.entries(environment)
    .map(([key, value]) => `    <key>${escaped(key)}</key>\n    <string>${escaped(value)}</string>`)
    .join('\n');
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${escaped(launchLabel(name))}</string>
  <key>ProgramArguments</key>
  <array>
${strings(command)}
  </array>
  <key>EnvironmentVariables</key>
  <dict>
${pairs}
  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ExitTimeOut</key>
  <integer>${STOP_SECONDS}</integer>
  <key>StandardOutPath</key>
  <string>${escaped(log)}</string>
  <key>StandardErrorPath</key>
  <string>${escaped(log)}</string>
</dict>
</plist>
`;
}

export const launchLabel = (name: string): string => `bottleworks.${name}`;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
