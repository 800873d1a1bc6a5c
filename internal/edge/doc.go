// Package edge is the one listener of an installation: it decides which door a connection leads to, and speaks TLS for
// the host names that clients believe to be Azure's.
//
// It owns the private certificate authority and its leaves, the CONNECT proxy, the table from host names to doors, the
// bundle of roots that clients are pointed at, and the tunnels to hosts that the operator allowed. It does not know
// what a door does with a request, and never forwards a host that nobody allowed.
//
//	             first byte
//	listener ──▶ 0x16 ───────────────────────▶ TLS, host by SNI ──▶ ┐
//	         └─▶ else: HTTP/1.1, CONNECT host ─┬─▶ 200, then TLS ──▶ ├─▶ Host header of the same door? ──▶ door's handler
//	                                           ├─▶ allowed host: raw tunnel
//	                                           └─▶ anything else: 403
//
// The authority is bound by critical name constraints to the names of the doors and of the operator, so that whoever
// trusts it trusts it for these names alone; its key lies sealed.
package edge
