import { cpioArchive } from '../../guest/cpio.js';

/** What the probe's guest says once its first program runs. */
export const PROBE_WORDS = 'vm-agent: the processor works';

const LOAD_ADDRESS = 0x400000n;
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const CONSOLE = [5, 1] as const;

/**
 * The smallest guest that proves a processor: a kernel with this initrd boots to user space, prints
 * {@link PROBE_WORDS} on its console and switches off.
 */
export function probeInitrd(): Buffer {
  return cpioArchive([
    { path: 'dev', mode: 0o040755 },
    { path: 'dev/console', mode: 0o020600, device: CONSOLE },
    { path: 'init', mode: 0o100755, data: probeProgram() },
  ]);
}

/** A program for x86-64 Linux without anything around it: `write(1, words)`, then `reboot(POWER_OFF)`. */
function probeProgram(): Buffer {
  const words = Buffer.from(`${PROBE_WORDS}\n`);
  const code = [
    [0xb8, 1, 0, 0, 0], // mov eax, 1 (write)
    [0xbf, 1, 0, 0, 0], // mov edi, 1
    [0x48, 0x8d, 0x35, 36, 0, 0, 0], // lea rsi, [rip + 36]: the words, behind the code
    [0xba, words.length, 0, 0, 0], // mov edx, length
    [0x0f, 0x05], // syscall
    [0xb8, 169, 0, 0, 0], // mov eax, 169 (reboot)
    [0xbf, 0xad, 0xde, 0xe1, 0xfe], // mov edi, LINUX_REBOOT_MAGIC1
    [0xbe, 0x69, 0x19, 0x12, 0x28], // mov esi, LINUX_REBOOT_MAGIC2
    [0xba, 0xdc, 0xfe, 0x21, 0x43], // mov edx, LINUX_REBOOT_CMD_POWER_OFF
    [0x0f, 0x05], // syscall
    [0xeb, 0xfe], // jmp to itself
    [0x90, 0x90, 0x90, 0x90, 0x90], // room up to the words
  ].flat();
  return elf(Buffer.concat([Buffer.from(code), words]));
}

/** A static ELF program with one segment that holds the whole file. */
function elf(body: Buffer): Buffer {
  const start = BigInt(ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES);
  const size = start + BigInt(body.length);
  const head = Buffer.alloc(Number(start));
  head.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  head.writeUInt16LE(2, 16); // a program
  head.writeUInt16LE(62, 18); // x86-64
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(LOAD_ADDRESS + start, 24);
  head.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32);
  head.writeUInt16LE(ELF_HEADER_BYTES, 52);
  head.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  head.writeUInt16LE(1, 56); // one segment
  head.writeUInt32LE(1, ELF_HEADER_BYTES); // to be loaded
  head.writeUInt32LE(5, ELF_HEADER_BYTES + 4); // readable and executable
  head.writeBigUInt64LE(LOAD_ADDRESS, ELF_HEADER_BYTES + 16);
  head.writeBigUInt64LE(LOAD_ADDRESS, ELF_HEADER_BYTES + 24);
  head.writeBigUInt64LE(size, ELF_HEADER_BYTES + 32);
  head.writeBigUInt64LE(size, ELF_HEADER_BYTES + 40);
  head.writeBigUInt64LE(0x1000n, ELF_HEADER_BYTES + 48);
  return Buffer.concat([head, body]);
}
