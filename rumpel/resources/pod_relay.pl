# Carries one connection from standard input and output to a port in the pod; perl's core only.
#
# Says `ready` on stderr and waits for a line `HOST PORT` on stdin. After it come frames of what the
# client sent: 4 bytes of length, then so many bytes; length 0 is the end of what the client sends,
# the end of stdin without it means that the client is gone. stdout is what the service sends;
# its end is a line `eof BYTES` on stderr, since the engine takes the end of stdout for the end of all.
use strict;
use Fcntl;
use Socket;
my $MOST = 1 << 17;
my ($raw, $left, $up, $down, $sent) = ('', 0, '', '', 0);
my ($has_ended, $is_shut, $is_over, $is_told) = (0, 0, 0, 0);
$SIG{PIPE} = 'IGNORE';
sub say_line { syswrite STDERR, "\@rumpel $_[0]\n" }
sub fail { say_line("failed $_[0]"); exit 1 }

say_line('ready perl');
while ($raw !~ /\n/) { exit 0 unless sysread STDIN, $raw, 4096, length $raw }
$raw =~ s/^(\S+) (\d+)\n// or fail('no address');
my ($host, $port) = ($1, $2);

sub dial {
    my ($address) = @_;
    my $sock;
    socket($sock, sockaddr_family($address), SOCK_STREAM, 0) && connect($sock, $address) && return $sock;
    return;
}

sub addresses {
    my @found;
    for my $name ($host eq 'localhost' ? ('127.0.0.1', '::1') : ($host)) {
        my ($err, @infos) = Socket::getaddrinfo($name, $port, { socktype => SOCK_STREAM });
        push @found, map { $_->{addr} } @infos;
    }
    return @found;
}
my ($sock, $why);
for my $address (addresses()) {
    last if $sock = dial($address);
    $why ||= "$!";
}
fail($why || 'no such host') unless $sock;
setsockopt $sock, 6, 1, 1;    # IPPROTO_TCP, TCP_NODELAY
for my $handle (*STDIN, *STDOUT, $sock) {
    fcntl $handle, F_SETFL, fcntl($handle, F_GETFL, 0) | O_NONBLOCK;
}
my $net = fileno $sock;

# What is in $raw, without the frames around it.
sub unframe {
    while (length $raw) {
        if ($left) {
            my $piece = substr $raw, 0, $left, '';
            $left -= length $piece;
            $up .= $piece unless $is_over;
        } else {
            return if length $raw < 4;
            $left = unpack 'N', substr $raw, 0, 4, '';
            $has_ended = 1 unless $left;
        }
    }
}

sub is_busy { $!{EAGAIN} || $!{EINTR} || $!{EWOULDBLOCK} }
use Errno;
my $from_service = 1;
while (1) {
    unframe();
    if ($has_ended && !$is_shut && $up eq '') { shutdown $sock, 1; $is_shut = 1 }
    if (!$from_service && $down eq '' && !$is_told) { say_line("eof $sent"); $is_told = 1 }
    exit 0 if $is_told && ($is_shut || $is_over);
    my ($r, $w) = ('', '');
    vec($r, 0, 1) = length $up < $MOST;
    vec($r, $net, 1) = $from_service && $down eq '';
    vec($w, 1, 1) = $down ne '';
    vec($w, $net, 1) = $up ne '';
    select $r, $w, undef, undef;
    if (vec $r, 0, 1) {
        my $n = sysread STDIN, $raw, $MOST, length $raw;
        if (defined $n ? !$n : !is_busy()) {
            # Nothing complete for the service, either: a reset.
            setsockopt $sock, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
            exit 1;
        }
    }
    if (vec $r, $net, 1) {
        my $n = sysread $sock, $down, $MOST;
        if (!defined $n) { fail($!) unless is_busy(); $down = '' }
        elsif (!$n) { $from_service = 0 }
        # Most often it can be written at once.
        push_down() if $down ne '';
    } elsif (vec $w, 1, 1) {
        push_down();
    }
    if ($up ne '') {
        my $n = syswrite $sock, $up;
        if (defined $n) { substr $up, 0, $n, '' }
        elsif (!is_busy()) { $up = ''; $is_over = 1 }
    }
}

sub push_down {
    my $n = syswrite STDOUT, $down;
    if (defined $n) { $sent += $n; substr $down, 0, $n, '' }
    elsif (!is_busy()) { exit 1 }
}
