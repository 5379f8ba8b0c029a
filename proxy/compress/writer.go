package compress

import (
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Encoders keeps encoders for the next answer. The zero value is ready. Safe for
// concurrent use.
type Encoders struct {
	mu    sync.Mutex
	pools map[kind]*sync.Pool
}

type kind struct {
	name  string
	level int
}

// encoder is what the three libraries have in common.
type encoder interface {
	io.Writer
	Reset(w io.Writer)
	Flush() error
	Close() error
}

// Writer compresses one answer. One goroutine uses it.
type Writer struct {
	enc  encoder
	pool *sync.Pool
}

// Begin compresses into w.
func (e *Encoders) Begin(how *Encoding, w io.Writer) *Writer {
	p := e.pool(kind{how.Name, how.level})
	enc := p.Get().(encoder)
	enc.Reset(w)
	return &Writer{enc, p}
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) { return w.enc.Write(p) }

// Flush sends what has been written so far on its way.
func (w *Writer) Flush() error { return w.enc.Flush() }

// Close writes the end. The Writer may not be used after that.
func (w *Writer) Close() error {
	err := w.enc.Close()
	w.Abandon()
	return err
}

// Abandon gives the encoder back without an end: the answer was cut short.
func (w *Writer) Abandon() {
	if w.enc != nil {
		w.enc.Reset(io.Discard) // nothing of this answer is kept
		w.pool.Put(w.enc)
		w.enc = nil
	}
}

func (e *Encoders) pool(k kind) *sync.Pool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.pools[k]; p != nil {
		return p
	}
	if e.pools == nil {
		e.pools = map[kind]*sync.Pool{}
	}
	p := &sync.Pool{New: func() any { return newEncoder(k) }}
	e.pools[k] = p
	return p
}

// windowBytes bounds what an encoder, and the client's decoder, have to keep.
const windowBytes = 256 << 10

// newEncoder makes an encoder for a level from 1 to 9; 0 is a balanced one. The
// options are constants within their bounds, so that none can fail.
func newEncoder(k kind) encoder {
	level := k.level
	switch k.name {
	case "zstd":
		speed := zstd.SpeedFastest
		switch {
		case level >= 8:
			speed = zstd.SpeedBetterCompression
		case level == 0 || level >= 4:
			speed = zstd.SpeedDefault
		}
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithWindowSize(windowBytes), zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
		if err != nil {
			panic(err)
		}
		return enc
	case "br":
		if level == 0 {
			level = 4
		}
		return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: level, LGWin: 18})
	}
	if level == 0 {
		level = 5
	}
	enc, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		panic(err)
	}
	return enc
}
