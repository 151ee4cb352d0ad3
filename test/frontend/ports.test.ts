import { expect, test } from 'vitest';
import { parsePorts } from '../../frontend/ports.ts';

test.each([
  ['80', ['80/tcp']],
  ['53/UDP', ['53/udp']],
  ['8000-8002', ['8000/tcp', '8001/tcp', '8002/tcp']],
  ['127.0.0.1:80:8080', ['8080/tcp']],
  ['[::1]:80:8080/sctp', ['8080/sctp']],
  ['8000-8001:80-81', ['80/tcp', '81/tcp']],
  ['8000-8009:80', ['80/tcp']],
])('%s exposes %j', (word, ports) => {
  expect(parsePorts(word)).toEqual(ports);
});

test.each([
  ['80/foo', 'invalid port: "80/foo": invalid proto: foo'],
  ['90-80', 'invalid containerPort: 90-80'],
  ['x', 'invalid containerPort: x'],
  ['70000', 'invalid containerPort: 70000'],
  ['1-2-3', 'invalid containerPort: 1-2-3'],
  ['x:80', 'invalid hostPort: x'],
  ['nohost:80:80', 'invalid IP address: nohost'],
  ['80-82:80-81', 'invalid ranges specified for container and host Ports: 80-81 and 80-82'],
  ['/tcp', 'invalid port: "/tcp": no port specified: /tcp<empty>'],
])('%s is refused', (word, message) => {
  expect(() => parsePorts(word)).toThrow(expect.objectContaining({ code: 'TSB_DOCKERFILE_PORT_INVALID', message }));
});
