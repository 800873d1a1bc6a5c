package seed

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Places of the structures, in sectors; files follow the one sector of the root directory.
const (
	sector       = 2048
	volumeSector = 16
	pathTableLE  = 18
	pathTableBE  = 19
	rootSector   = 20
)

// writeISO lays out an ISO 9660 volume (ECMA-119) whose root directory holds the files, with their names as they are,
// as Linux and cloud-init expect them. The same input gives the same bytes. It is written here, and not by a library,
// because those at hand stage the files, secrets among them, in a temporary folder.
func writeISO(label string, files map[string][]byte) []byte {
	names := slices.Sorted(maps.Keys(files))
	root := slices.Concat(dirRecord("\x00", rootSector, sector, true), dirRecord("\x01", rootSector, sector, true))
	at := rootSector + 1
	var content []byte
	for _, name := range names {
		data := files[name]
		root = append(root, dirRecord(name+";1", at, len(data), false)...)
		content = append(content, pad(data)...)
		at += sectors(len(data))
	}
	return slices.Concat(
		make([]byte, volumeSector*sector),
		volume(label, at),
		pad([]byte("\xffCD001\x01")), // terminator
		pad(append([]byte{1, 0}, append(binary.LittleEndian.AppendUint32(nil, rootSector), 1, 0, 0, 0)...)),
		pad(append([]byte{1, 0}, append(binary.BigEndian.AppendUint32(nil, rootSector), 0, 1, 0, 0)...)),
		pad(root),
		content,
	)
}

// volume is the primary volume descriptor, ECMA-119 8.4.
func volume(label string, total int) []byte {
	v := make([]byte, sector)
	for i := 8; i < 72; i++ {
		v[i] = ' '
	}
	for i := 190; i < 813; i++ {
		v[i] = ' '
	}
	copy(v, "\x01CD001\x01")
	copy(v[40:72], label)
	copy(v[80:], both32(total))
	copy(v[120:], both16(1))
	copy(v[124:], both16(1))
	copy(v[128:], both16(sector))
	copy(v[132:], both32(10)) // the path table holds the root alone
	binary.LittleEndian.PutUint32(v[140:], pathTableLE)
	binary.BigEndian.PutUint32(v[148:], pathTableBE)
	copy(v[156:], dirRecord("\x00", rootSector, sector, true))
	for _, date := range []int{813, 830, 847, 864} { // "not specified"
		copy(v[date:], "0000000000000000")
	}
	v[881] = 1
	return v
}

// dirRecord is a directory record, ECMA-119 9.1, dated 2026-01-01.
func dirRecord(name string, at, size int, dir bool) []byte {
	r := []byte{0, 0}
	r = append(r, both32(at)...)
	r = append(r, both32(size)...)
	r = append(r, 126, 1, 1, 0, 0, 0, 0)
	flags := byte(0)
	if dir {
		flags = 2
	}
	r = append(r, flags, 0, 0)
	r = append(r, both16(1)...)
	r = append(r, byte(len(name)))
	r = append(r, name...)
	if len(r)%2 == 1 {
		r = append(r, 0)
	}
	r[0] = byte(len(r))
	return r
}

func both16(v int) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, uint16(v)), uint16(v))
}

func both32(v int) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(v)), uint32(v))
}

func sectors(n int) int { return (n + sector - 1) / sector }

func pad(b []byte) []byte {
	out := make([]byte, sectors(len(b))*sector)
	copy(out, b)
	return out
}
