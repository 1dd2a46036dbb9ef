#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads the memory of another process, as Linux shows it under `/proc`.
struct ProcessMemory {
    /// One mapping of `/proc/PID/maps`.
    struct Region: Equatable {
        var range: Range<UInt64>
        var isReadable: Bool
        /// What is mapped: a path, `[heap]`, or nothing.
        var name: Substring

        /// Reads a line such as `7f00-7f80 rw-p 00000000 00:00 0    [heap]`; nil if it isn't one.
        init?(line: Substring) {
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            guard fields.count >= 5 else { return nil }
            let ends = fields[0].split(separator: "-")
            guard ends.count == 2, let start = UInt64(ends[0], radix: 16), let end = UInt64(ends[1], radix: 16),
                start <= end
            else { return nil }
            self.range = start..<end
            self.isReadable = fields[1].hasPrefix("r")
            self.name = fields.count == 6 ? fields[5].drop { $0 == " " } : ""
        }

        /// Pages that the kernel lends every process and none can write to; some can't be read either.
        var belongsToKernel: Bool { ["[vvar]", "[vvar_vclock]", "[vsyscall]", "[vdso]"].contains(name) }
    }

    struct Outcome: Sendable {
        /// How many bytes were read.
        var bytes = 0
        /// How many could not be: pages unmapped meanwhile, or beyond the end of a mapped file.
        var skipped = 0
        var regions = 0
    }

    enum Failure: Error, CustomStringConvertible, Equatable {
        /// The system doesn't let us read that process.
        case forbidden
        case gone
        case incomplete(skipped: Int)
        case unreadable(path: String, number: Int32)

        var description: String {
            switch self {
            case .forbidden:
                """
                this system forbids reading the memory of another process.
                  To allow it, run the demo as root, or as the same user with kernel.yama.ptrace_scope at 0
                  (sudo sysctl kernel.yama.ptrace_scope=0), or in a container with --cap-add SYS_PTRACE
                """
            case .gone:
                "the process has ended"
            case .incomplete(let skipped):
                "\(skipped) bytes of the process could not be read, so nothing is proved"
            case .unreadable(let path, let number):
                "cannot read \(path): \(String(cString: strerror(number)))"
            }
        }

        init(path: String, number: Int32) {
            switch number {
            case EPERM, EACCES: self = .forbidden
            case ENOENT, ESRCH: self = .gone
            default: self = .unreadable(path: path, number: number)
            }
        }
    }

    private static let chunk = 1 << 20
    private static let page = 4096

    /// Runs `search` over everything that process can read.
    /// - Throws: ``Failure``, where nothing or not everything could be looked at.
    static func search(pid: Int32, with search: inout MemorySearch) throws(Failure) -> Outcome {
        let path = "/proc/\(pid)/mem"
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(path: path, number: errno) }
        defer { close(descriptor) }
        var outcome = Outcome()
        for region in try regions(pid: pid) where region.isReadable && !region.belongsToKernel {
            let count = try read(region.range, of: descriptor, path: path, into: &search)
            outcome.bytes += count
            outcome.skipped += region.range.count - count
            outcome.regions += 1
        }
        // A process that has ended, or whose pages are withheld, would look clean.
        guard outcome.bytes > 0 else { throw .gone }
        guard outcome.skipped <= outcome.bytes / 20 else { throw .incomplete(skipped: outcome.skipped) }
        return outcome
    }

    static func regions(pid: Int32) throws(Failure) -> [Region] {
        let path = "/proc/\(pid)/maps"
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(path: path, number: errno) }
        defer { close(descriptor) }
        var text: [UInt8] = []
        var buffer: [UInt8] = Array(repeating: 0, count: 65536)
        while true {
            let count = readOnce(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Failure(path: path, number: errno) }
            guard count > 0 else { break }
            text.append(contentsOf: buffer[..<count])
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").compactMap { Region(line: $0) }
    }

    /// Reads one region chunk by chunk, each beginning with the end of the one before.
    private static func read(
        _ range: Range<UInt64>, of descriptor: Int32, path: String, into search: inout MemorySearch
    ) throws(Failure) -> Int {
        let overlap = search.overlap
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: overlap + chunk, alignment: 16)
        defer { buffer.deallocate() }
        var address = range.lowerBound
        var carried = 0
        var total = 0
        while address < range.upperBound {
            let wanted = min(chunk, Int(range.upperBound - address))
            let place = UnsafeMutableRawBufferPointer(rebasing: buffer[carried..<carried + wanted])
            let count = pread(descriptor, place.baseAddress, wanted, off_t(truncatingIfNeeded: address))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                guard count == 0 || errno == EIO || errno == EFAULT else { throw Failure(path: path, number: errno) }
                // A page that isn't there any more, or lies behind the end of its file: go on after it.
                let next = (address / UInt64(page) + 1) * UInt64(page)
                address = next
                carried = 0
                continue
            }
            let filled = carried + count
            search.search(UnsafeRawBufferPointer(rebasing: buffer[..<filled]), repeated: carried)
            total += count
            address += UInt64(count)
            carried = min(overlap, filled)
            buffer.copyBytes(from: UnsafeRawBufferPointer(rebasing: buffer[(filled - carried)..<filled]))
        }
        return total
    }
}

// Inside `ProcessMemory`, its own `read` hides the system's.
private func readOnce(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
