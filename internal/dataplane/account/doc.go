// Package account is the door of a storage account's blob service: https://<account>.blob.core.windows.net.
//
// It owns the protocol: who signed a request and what that allows (SharedKey, account, service and user delegation SAS,
// bearer tokens, public containers), the operations on containers, block blobs and page blobs, and their documents. It
// does not keep anything: accounts and containers are of provider/storage, blobs of its package content. What the
// service has and this door has not, such as append blobs, snapshots, versions or tags, is refused by name.
//
//	request ─▶ host ─▶ account ─▶ who signed it ─▶ exchange.may(right) ─▶ operation ─▶ content ─▶ headers, XML, bytes
package account
