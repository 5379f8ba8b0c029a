// Package compress compresses answers on their way to clients: zstd, br and gzip,
// by what the client takes, the type and the length.
//
//	Choose (nil: leave the answer alone) -> Encoding.Header -> Encoding.Begin -> Writer
//
// It knows http.Header and io.Writer, and nothing of connections. It is the home
// of klauspost/compress and andybalholm/brotli.
package compress
