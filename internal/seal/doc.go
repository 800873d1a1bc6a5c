// Package seal keeps secrets unreadable at rest: one master key, and values sealed under it.
//
// It owns the key file and the text form of a sealed value. It does not know what is sealed, nor where it is stored;
// whoever stores a secret seals it first and names the resource it belongs to:
//
//	plain + resource ID ── Seal ──▶ "v1.<key id>.<base64url>" ── document in the store ── Open ──▶ plain
//
// The resource ID is additional data of AES-256-GCM, so that a value copied from one resource's document into
// another's does not open there. The key id tells a value of another installation's key from a damaged one.
package seal
