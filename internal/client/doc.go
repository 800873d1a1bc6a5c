// Package client is our own side of the wire: the operator's socket, Azure Resource Manager and page blobs as a client
// uses them. The command line and the end-to-end tests go through it, hence through tokens and RBAC like anybody else.
//
// It owns requests, polling and retries. It decides nothing that a server would have to decide. Data passes like this:
//
//	cli ─▶ Operator ─▶ Unix socket            cli ─▶ ARM ─▶ CONNECT proxy ─▶ management.azure.com
//	cli ─▶ page blob upload ─▶ the signed URL that ARM's beginGetAccess gave
package client
