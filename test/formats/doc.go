// Package formats moves disks in and out by the real program against a real server: every form that qemu-img writes, clients that are killed
// and connections that are cut half-way, hostile files, and what the real az may not upload. It owns no rule of the program.
package formats
