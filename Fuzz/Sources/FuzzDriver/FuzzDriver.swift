import CLibFuzzer

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Runs libFuzzer with the program's arguments, to its end.
///
/// - Parameter one: does its work on one input: where its bytes begin, and how many there are. Its result is 0.
public func runFuzzer(_ one: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt) -> Never {
    var count: CInt = CommandLine.argc
    var arguments = CommandLine.unsafeArgv.withMemoryRebound(
        to: UnsafeMutablePointer<CChar>?.self, capacity: Int(count)
    ) { Optional($0) }
    exit(LLVMFuzzerRunDriver(&count, &arguments, one))
}
