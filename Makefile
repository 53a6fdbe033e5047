# make up, make down and make test: as root, on Debian or Ubuntu with Rust. Each may be run twice.

PREFIX  ?= /usr/local
BINARY  := target/release/bowline
UNPACKED := target/vm
APT     := DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends

.PHONY: up down test test-vm lint build install uninstall build-needs test-needs guest-needs

up: build
	@docs/example/three-tiers.sh up $(BINARY)

down:
	@docs/example/three-tiers.sh down $(BINARY)

# One static binary: what it was built with is not needed where it runs.
build: build-needs
	cargo rustc --release --locked --bin bowline -- -C target-feature=+crt-static

# Both tiers: tests/ needs no privilege, netns-tests/ needs root and makes its own namespaces. Stories that need more than
# this kernel has are told in a guest.
test: test-needs guest-needs
	cargo test --workspace --all-targets --locked

# All stories in the guest.
test-vm: test-needs guest-needs
	BOWLINE_TEST_VM=all cargo test --locked --test netns

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

install: build
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/bowline
	install -D -m 0644 docs/install/bowline.service $(DESTDIR)/etc/systemd/system/bowline.service

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/bowline $(DESTDIR)/etc/systemd/system/bowline.service

# A C compiler for the linker, and ping for the example.
build-needs:
	@command -v cc >/dev/null && command -v ping >/dev/null || { apt-get update -q && $(APT) gcc libc6-dev iputils-ping; }

# The witnesses: everything that looks at the kernel without asking bowline.
test-needs: build-needs
	@for tool in ip nft iptables ping python3 curl nsenter unshare setpriv dbus-daemon dig dnsmasq /usr/lib/cni/bridge; do \
	  command -v $$tool >/dev/null || missing=1; \
	done; test -z "$$missing" || { apt-get update -q && $(APT) iproute2 nftables iptables iputils-ping python3 curl util-linux dbus bind9-dnsutils dnsmasq-base containernetworking-plugins; }

# A machine under qemu, for x86-64. Its kernel is the one in /boot, or one that is only unpacked: to install it would take
# minutes, and change this machine. What is missing in spite of this, the stories that need it say.
guest-needs:
	@test "$$(uname -m)" = x86_64 || exit 0; \
	for tool in qemu-system-x86_64 busybox modprobe; do command -v $$tool >/dev/null || missing=1; done; \
	test -z "$$missing" || { apt-get update -q && $(APT) qemu-system-x86 busybox-static kmod; }
	@test "$$(uname -m)" = x86_64 || exit 0; \
	ls /boot/vmlinuz-*[0-9]-amd64 $(UNPACKED)/boot/vmlinuz-* 2>/dev/null | grep -q . || netns-tests/vm/unpack-kernel $(UNPACKED)
