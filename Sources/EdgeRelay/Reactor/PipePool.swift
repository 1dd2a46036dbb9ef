import CRelaySockets

/// Pipes through which bytes are moved without a copy, to be used again, and no more than a number of them.
struct PipePool {
    /// A pipe. It holds nothing while it is in the pool.
    struct Pipe {
        let output: Descriptor
        let input: Descriptor
    }

    /// What one pipe is asked to hold, in bytes.
    static let size = 262_144

    private var unused: [Pipe] = []
    /// Those that exist, in the pool or out of it.
    private(set) var made = 0
    private var limit: Int
    /// Set where the system refuses to move bytes.
    private var isOff = false

    init(limit: Int) { self.limit = limit }

    /// An empty pipe; nil: there is none for now, and bytes have to be copied.
    mutating func take() -> Pipe? {
        guard !self.isOff else { return nil }
        if let pipe = self.unused.popLast() { return pipe }
        guard self.made < self.limit else { return nil }
        var numbers: (Int32, Int32) = (-1, -1)
        let status = withUnsafeMutableBytes(of: &numbers) {
            latchstring_pipe($0.baseAddress?.assumingMemoryBound(to: Int32.self), Int32(Self.size))
        }
        guard status == 0, let output = try? Descriptor(owning: numbers.0),
            let input = try? Descriptor(owning: numbers.1)
        else {
            // The system gives no more than these: asking again and again would cost more than copies.
            self.limit = self.made
            return nil
        }
        self.made += 1
        return Pipe(output: output, input: input)
    }

    /// Takes a pipe back. One that still holds bytes is closed.
    mutating func give(_ pipe: Pipe, isEmpty: Bool) {
        if isEmpty, !self.isOff {
            self.unused.append(pipe)
        } else {
            self.made -= 1
        }
    }

    /// The system does not move bytes between these sockets.
    mutating func turnOff() {
        self.isOff = true
        self.made -= self.unused.count
        self.unused = []
    }
}
