/**
 * Holds the control port for the agent: a wait for it is nothing that Node.js can do, and after the memory of a
 * machine was restored every process that has to be started costs the time in which the machine is to be back. Perl is
 * in every Debian and Ubuntu.
 *
 * Lines of the host go to standard output, lines of standard input to the host (dropped when nobody is there), and it
 * says `linked` each time the host has connected. Before it hands `woken` on it mixes the line, with its seed, into the
 * kernel's pool, makes the kernel take new keys from that at once (RNDRESEEDCRNG), and sets the clock.
 *
 * Arguments: device, number of the system call settimeofday (0 for none).
 */
export const PORT_SCRIPT = `use strict;
use Errno;
use Fcntl;
use Time::HiRes ();
my ($path, $settime) = @ARGV;
$| = 1;
sysopen(my $port, $path, O_RDWR | O_NONBLOCK | O_NOCTTY) or die "control port $path: $!\\n";
my ($buffer, $linked) = ('', 0);

sub trouble { warn "control port: $_[0]: $!\\n" }

sub reseed {
  open(my $random, '+<', '/dev/urandom') or return trouble('urandom');
  defined(syswrite($random, $_[0])) or trouble('seed');
  defined(ioctl($random, 0x5207, 0)) or trouble('reseed');
}

sub set_clock {
  my ($ms) = sort { $b <=> $a } $_[0] =~ /"timeMs"\\s*:\\s*(\\d+)/g;
  return if !$settime || !$ms || abs($ms / 1000 - Time::HiRes::time()) < 0.1;
  syscall($settime, pack('qq', int($ms / 1000), $ms % 1000 * 1000), 0) == 0 or trouble('clock');
}

sub hear {
  my ($line) = @_;
  reseed($line) if $line =~ /"type"\\s*:\\s*"woken"/;
  set_clock($line) if $line =~ /"type"\\s*:\\s*"(?:woken|time)"/;
  print $line;
}

sub waits {
  my ($with_port, $seconds) = @_;
  my $set = '';
  vec($set, 0, 1) = 1;
  vec($set, fileno($port), 1) = 1 if $with_port;
  select($set, undef, undef, $seconds);
  exit 0 if vec($set, 0, 1) && !take_input();
}

sub take_input {
  my $count = sysread(STDIN, my $data, 65536);
  syswrite($port, $data) if $count;
  return $count;
}

for (;;) {
  my $count = sysread($port, $buffer, 65536, length $buffer);
  if (!defined $count && !$!{EAGAIN}) { trouble('read'); exit 1; }
  if (defined $count && $count == 0) {
    ($buffer, $linked) = ('', 0);
    waits(0, 0.1);
    next;
  }
  print qq({"type":"linked"}\\n) if !$linked;
  $linked = 1;
  hear($1) while $buffer =~ s/^(.*\\n)//;
  $buffer = '' if length $buffer > 262144;
  waits(1, undef) if !defined $count;
}
`;
