# Listens on /tmp/.rumpel-UID/NAME, a socket of the pod's user alone, and carries all its connections
# over standard input and output; perl's core only.
#
# Both ways go frames: 4 bytes number of the connection, 4 bytes length, so many bytes; length 0 is
# its end. Says `ready perl UID` on stderr. Ends, and takes the socket away, with its input.
use strict;
use Fcntl qw(:DEFAULT :mode);
use Socket;
use Errno;
my $MOST_OPEN = 32;
my $PIECE = 1 << 14;
my ($name) = @ARGV;
my ($raw, $next, %sock, %out, %ends) = ('', 1);
$SIG{PIPE} = 'IGNORE';
sub say_line { syswrite STDERR, "\@rumpel $_[0]\n" }
sub fail { say_line("failed $_[0]"); exit 1 }

my $folder = "/tmp/.rumpel-$>";
mkdir $folder, 0700;
my @found = lstat $folder;
fail("$folder cannot be made: $!") unless @found;
fail("$folder is not a folder of this user alone") unless S_ISDIR($found[2]) && $found[4] == $> && !($found[2] & 077);
my $path = "$folder/$name";
unlink $path;
umask 0177;
my $server;
socket($server, AF_UNIX, SOCK_STREAM, 0) && bind($server, pack_sockaddr_un($path)) && listen($server, 64)
    or fail("$path: $!");
my @own = lstat $path;
sub leave {
    my @now = lstat $path;
    unlink $path if @now && "@now[0, 1]" eq "@own[0, 1]";
    exit 0;
}
$SIG{$_} = \&leave for qw(TERM HUP INT);

sub unblock { fcntl $_[0], F_SETFL, fcntl($_[0], F_GETFL, 0) | O_NONBLOCK }
sub is_busy { $!{EAGAIN} || $!{EINTR} || $!{EWOULDBLOCK} }

sub put_all {
    my ($data) = @_;
    while ($data ne '') {
        my $n = syswrite STDOUT, $data;
        if (defined $n) { substr $data, 0, $n, '' }
        elsif (!is_busy()) { leave() }
        else { select undef, undef, undef, 0.01 }
    }
}

sub drop {
    my ($id) = @_;
    close delete $sock{$id};
    delete $out{$id};
    delete $ends{$id};
}

sub push_out {
    my ($id) = @_;
    my $n = syswrite $sock{$id}, $out{$id};
    if (defined $n) { substr $out{$id}, 0, $n, '' }
    elsif (!is_busy()) { put_all(pack 'NN', $id, 0); drop($id); return }
    drop($id) if $out{$id} eq '' && $ends{$id};
}

unblock($server);
say_line("ready perl $>");
while (1) {
    my ($r, $w) = ('', '');
    vec($r, 0, 1) = 1;
    vec($r, fileno $server, 1) = 1 if keys %sock < $MOST_OPEN;
    for my $id (keys %sock) {
        # Who does not read answers is not asked for more.
        vec(($out{$id} eq '' ? $r : $w), fileno $sock{$id}, 1) = 1;
    }
    next if select($r, $w, undef, undef) < 0;
    if (vec $r, 0, 1) {
        leave() unless sysread STDIN, $raw, 1 << 16, length $raw;
        while (length $raw >= 8) {
            my ($id, $size) = unpack 'NN', $raw;
            last if length $raw < 8 + $size;
            my $data = substr substr($raw, 0, 8 + $size, ''), 8;
            next unless $sock{$id};
            if ($size) { $out{$id} .= $data } else { $ends{$id} = 1 }
            push_out($id);
        }
    }
    for my $id (keys %sock) {
        if (vec $w, fileno $sock{$id}, 1) { push_out($id) }
        elsif (vec $r, fileno $sock{$id}, 1) {
            my $n = sysread $sock{$id}, my $data, $PIECE;
            if ($n) { put_all(pack('NN', $id, $n) . $data) }
            elsif (defined $n || !is_busy()) { put_all(pack 'NN', $id, 0); drop($id) }
        }
    }
    if (vec($r, fileno $server, 1) && accept(my $conn, $server)) {
        unblock($conn);
        $sock{$next} = $conn;
        $out{$next++} = '';
    }
}
