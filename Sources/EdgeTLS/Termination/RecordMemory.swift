import Channels

/// Where the records of an event loop's connections are opened and protected. Lives on that loop.
package final class RecordMemory {
    let opened = SpareBuffer()
    let sealed = SpareBuffer()

    package init() {}
}
