# shellcheck shell=bash
# How a guest's files become a disk that starts under either firmware. Shared by guest-tiny and guest-debian; sourced after
# lib.sh. A guest's work folder has: x/ (unpacked boot loaders), root/ (the root file system), vmlinuz, initrd.

# make_esp DIR BOOT MIB makes the system partition: kernel and initramfs once, with a boot loader for either firmware.
# BOOT is the folder with syslinux.cfg (SeaBIOS) and loader.conf, entry.conf (systemd-boot under OVMF).
make_esp() {
	local dir=$1 boot=$2 mib=$3 esp=$1/esp.img
	truncate -s "${mib}M" "$esp"
	mkfs.fat -F 16 -n VITRINE "$esp" >/dev/null
	mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
	mcopy -i "$esp" "$dir/vmlinuz" ::/vmlinuz
	mcopy -i "$esp" "$dir/initrd" ::/initrd
	mcopy -i "$esp" "$boot/syslinux.cfg" ::/syslinux.cfg
	mcopy -i "$esp" "$boot/loader.conf" ::/loader/loader.conf
	mcopy -i "$esp" "$boot/entry.conf" ::/loader/entries/linux.conf
	mcopy -i "$esp" "$dir/x/usr/lib/systemd/boot/efi/systemd-bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
	syslinux --install "$esp"
}

# make_disk DIR BOOT ESP_MIB DISK_MIB OUT writes the compressed qcow2 OUT: GPT, the system partition from the first MiB on,
# then the root partition, last so that it can grow. The last MiB is for the second copy of the GPT.
make_disk() {
	local dir=$1 boot=$2 esp_mib=$3 disk_mib=$4 out=$5 disk=$1/disk.raw
	local root_start=$((1 + esp_mib)) root_mib=$((disk_mib - esp_mib - 2))
	make_esp "$dir" "$boot" "$esp_mib"
	truncate -s "${disk_mib}M" "$disk"
	sgdisk --new="1:1M:+${esp_mib}M" --typecode=1:EF00 --change-name=1:boot --attributes=1:set:2 \
		--new="2:${root_start}M:+${root_mib}M" --typecode=2:8304 --change-name=2:root "$disk" >/dev/null
	dd if="$dir/esp.img" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
	mkfs.ext4 -q -b 4096 -I 256 -m 1 -L root -d "$dir/root" -E "offset=$((root_start << 20))" "$disk" "${root_mib}M"
	dd if="$dir/x/usr/lib/syslinux/mbr/gptmbr.bin" of="$disk" bs=440 count=1 conv=notrunc status=none
	qemu-img convert -f raw -O qcow2 -c "$disk" "$out"
}

# fetch_packages DIR PACKAGE… unpacks Debian packages below DIR/x.
fetch_packages() {
	local dir=$1 deb
	shift
	mkdir -p "$dir/debs" "$dir/x"
	(cd "$dir/debs" && apt-get -q -o APT::Sandbox::User=root download "$@")
	for deb in "$dir"/debs/*.deb; do
		dpkg -x "$deb" "$dir/x"
	done
}

# json_list turns the lines on its standard input into a JSON list.
json_list() {
	local line sep=''
	printf '['
	while IFS= read -r line; do
		printf '%s\n    "%s"' "$sep" "$line"
		sep=,
	done
	printf '\n  ]'
}

# source_key FILE|FOLDER… prints a key of the content of sources.
source_key() {
	local path
	for path; do
		(cd "$(dirname "$path")" && find "$(basename "$path")" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
	done | key_of
}

# publish FOLDER NAME OUT copies NAME.qcow2 and NAME.json out of the cache, never leaving a half-written file.
publish() {
	local from=$1 name=$2 out=$3
	mkdir -p "$(dirname "$out")"
	cp --reflink=auto "$from/$name.qcow2" "$out.new.$$"
	mv -f "$out.new.$$" "$out"
	cp --reflink=auto "$from/$name.json" "${out%.qcow2}.json"
	say "$name guest: $out"
}
