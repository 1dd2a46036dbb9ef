import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The other end of ``ChildProcess``: what one of the demo's processes does before it becomes a party.
public enum DemoChild {
    /// Enters the party's directory, and ends the process when the demo does.
    ///
    /// - Throws: the system's refusal to enter the directory.
    public static func begin(in directory: String) throws {
        guard chdir(directory) == 0 else { throw DemoFailure.system("enter \(directory)", errno) }
        self.endWithStandardInput()
    }

    /// The demo holds the writing end and never writes: the end comes when it ends, even if it was killed.
    private static func endWithStandardInput() {
        let queue = DispatchQueue(label: "latchstring.demo-child")
        queue.async {
            var byte: UInt8 = 0
            while read(0, &byte, 1) > 0 || errno == EINTR {}
            _exit(0)
        }
    }
}
