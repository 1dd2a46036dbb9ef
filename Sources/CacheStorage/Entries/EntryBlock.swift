internal import HTTPCaching
internal import HTTPFields
internal import NIOCore
internal import Synchronization

/// One entry as one block of memory: its facts, and behind them the end of its URI, its head, and its body if that is small.
///
/// Nothing of it changes but the marks of the store, which are atomic: that is why threads can share it (``CachedResponse``). What the
/// facts refer to is `Sendable`.
final class EntryBlock: ManagedBuffer<EntryBlock.NoHeader, UInt64> {
    /// A header has to be copyable, which the marks are not: the facts are the first of the elements.
    struct NoHeader {}

    /// A body below this goes into the block. That is also below what is written without a copy, over either version of HTTP.
    static let bodyLimit = 8_192

    /// A longer head is not in the block.
    static let headLimit = 65_535

    /// The object's own head.
    private static let objectBytes = 16

    static func make(_ key: CacheKey, _ response: StoredResponse, _ body: StoredBody) -> EntryBlock {
        let numbers: NarrowNumbers? =
            response.head.count <= Self.headLimit ? NarrowNumbers(response, bodyLength: body.length) : nil
        let isSmall: Bool = body.isInMemory && body.length < Self.bodyLimit && body.lease == nil
        let extras: EntryExtras? =
            numbers == nil || !isSmall || !response.variant.selectors.isEmpty || !response.tags.isEmpty
            ? EntryExtras(response, isWide: numbers == nil, body: isSmall ? nil : body) : nil
        let omitsOrigin: Bool = key.beginsWithSite
        let uri: Substring.UTF8View = key.uri.utf8.dropFirst(
            omitsOrigin ? RequestKey.schemeOfSites.utf8.count + key.site.utf8.count : 0)
        let uriBytes: Int = uri.count
        let headBytes: Int = numbers == nil ? 0 : response.head.count
        let bodyBytes: Int = isSmall ? body.length : 0
        let made = EntryBlock.create(minimumCapacity: Self.words(uriBytes + headBytes + bodyBytes)) { _ in NoHeader() }
        made.withUnsafeMutablePointerToElements { elements in
            UnsafeMutableRawPointer(elements).bindMemory(to: EntryFacts.self, capacity: 1).initialize(
                to: EntryFacts(
                    site: key.site, extras: extras, numbers: numbers ?? NarrowNumbers(),
                    uriBytes: UInt32(clamping: uriBytes), headBytes: UInt16(clamping: headBytes),
                    bodyBytes: UInt16(clamping: bodyBytes),
                    entityTag: NarrowTag(numbers == nil ? nil : response.entityTag), omitsOrigin: omitsOrigin))
            let whole = UnsafeMutableRawBufferPointer(
                start: UnsafeMutableRawPointer(elements) + MemoryLayout<EntryFacts>.size,
                count: uriBytes + headBytes + bodyBytes)
            whole.copyBytes(from: uri)
            if headBytes > 0 {
                response.head.withBytes {
                    UnsafeMutableRawBufferPointer(rebasing: whole[uriBytes...]).copyMemory(from: $0)
                }
            }
            if bodyBytes > 0 {
                body.copy(to: UnsafeMutableRawBufferPointer(rebasing: whole[(uriBytes + headBytes)...]))
            }
        }
        return unsafeDowncast(made, to: EntryBlock.self)
    }

    deinit {
        // The bytes behind the facts need nothing.
        self.facts.deinitialize(count: 1)
    }

    /// Valid while the block lives.
    var facts: UnsafeMutablePointer<EntryFacts> {
        self.withUnsafeMutablePointerToElements {
            UnsafeMutableRawPointer($0).assumingMemoryBound(to: EntryFacts.self)
        }
    }

    /// The facts and so many bytes.
    private static func words(_ bytes: Int) -> Int { (MemoryLayout<EntryFacts>.size + bytes + 7) / 8 }

    /// A part of the bytes behind the facts.
    private func bytes(from start: Int, count: Int) -> KeptBytes {
        let first = UnsafeRawPointer(self.facts) + MemoryLayout<EntryFacts>.size + start
        return KeptBytes(UnsafeRawBufferPointer(start: first, count: count), in: self)
    }

    /// Of the URI what is kept.
    private var uri: KeptBytes { self.bytes(from: 0, count: Int(self.facts.pointee.uriBytes)) }

    private var head: KeptBytes {
        self.bytes(from: Int(self.facts.pointee.uriBytes), count: Int(self.facts.pointee.headBytes))
    }

    var body: StoredBody {
        if let extras = self.facts.pointee.extras, let body = extras.body { return body }
        return StoredBody(
            packed: self.bytes(
                from: Int(self.facts.pointee.uriBytes) + Int(self.facts.pointee.headBytes),
                count: Int(self.facts.pointee.bodyBytes)))
    }

    var response: StoredResponse {
        guard let extras = self.facts.pointee.extras else {
            return self.response(.invariant, tags: [], bodyLength: Int(self.facts.pointee.bodyBytes))
        }
        return extras.wide ?? self.response(extras.variant, tags: extras.tags, bodyLength: self.bodyLength)
    }

    private func response(_ variant: VariantKey, tags: [String], bodyLength: Int) -> StoredResponse {
        self.facts.pointee.numbers.response(
            head: EncodedHead(kept: self.head), variant: variant, tags: tags,
            entityTag: self.facts.pointee.entityTag.tag, bodyLength: bodyLength)
    }

    private var bodyLength: Int { self.facts.pointee.extras?.body?.length ?? Int(self.facts.pointee.bodyBytes) }

    var lease: BodyLease? { self.facts.pointee.extras?.body?.lease }

    /// Bytes of memory that the entry stands for, the store's bookkeeping included.
    var cost: Int {
        let tail: Int =
            Int(self.facts.pointee.uriBytes) + Int(self.facts.pointee.headBytes) + Int(self.facts.pointee.bodyBytes)
        return MemoryCosts.entry + MemoryCosts.block(Self.objectBytes + Self.words(tail) * 8)
            + (self.facts.pointee.extras?.cost ?? 0)
    }

    // MARK: the key

    private var omitted: Int {
        self.facts.pointee.omitsOrigin
            ? RequestKey.schemeOfSites.utf8.count + self.facts.pointee.site.utf8.count : 0
    }

    /// Put together anew with each use.
    var key: CacheKey {
        let site: String = self.facts.pointee.site
        let rest: String = self.uri.withBytes { String(decoding: $0, as: UTF8.self) }
        return CacheKey(site: site, uri: self.facts.pointee.omitsOrigin ? RequestKey.schemeOfSites + site + rest : rest)
    }

    /// Whether this is the key, byte by byte. Makes nothing.
    func isKey(_ key: CacheKey) -> Bool {
        guard CacheKey.same(self.facts.pointee.site, key.site) else { return false }
        let omitted: Int = self.omitted
        let kept: KeptBytes = self.uri
        let uri = key.uri.utf8.span
        guard uri.count == omitted + kept.count else { return false }
        let isRestSame: Bool = kept.withBytes { mine in
            uri.equals(omitted..<uri.count, mine.assumingMemoryBound(to: UInt8.self).span, 0..<mine.count)
        }
        return isRestSame && (omitted == 0 || key.beginsWithSite)
    }

    /// The same for the key of a request, which is not put together.
    func isKey(_ key: RequestKey) -> Bool {
        self.uri.withBytes {
            key.isKey(site: self.facts.pointee.site, uri: $0, isBehindSite: self.facts.pointee.omitsOrigin)
        }
    }
}

/// What an entry's block begins with.
struct EntryFacts: ~Copyable {
    let site: String
    let extras: EntryExtras?
    /// Its head as HTTP/2 sends it, once a client has asked for it so.
    let fieldBlock = AtomicLazyReference<FieldBlock>()
    /// Its row in the disk index, or 0.
    let diskRow = Atomic<Int64>(0)
    let numbers: NarrowNumbers
    /// Its place in the ledger, or -1; written only under the ledger's lock.
    let slot = Atomic<Int32>(-1)
    /// How the bytes behind this are divided.
    let uriBytes: UInt32
    let headBytes: UInt16
    let bodyBytes: UInt16
    let entityTag: NarrowTag
    /// Uses since it was stored or last looked at by the eviction.
    let uses = Atomic<UInt8>(0)
    /// The URI begins with `https://` and the site's name, which are not kept.
    let omitsOrigin: Bool
}

/// What only some entries have: one that varies or has tags, one whose body is large or on disk, one whose numbers are out of the
/// ordinary.
final class EntryExtras: Sendable {
    let variant: VariantKey
    let tags: [String]
    /// Nil where the block has it.
    let body: StoredBody?
    /// All that is known, where the numbers do not fit into narrow ones.
    let wide: StoredResponse?
    let cost: Int

    init(_ response: StoredResponse, isWide: Bool, body: StoredBody?) {
        self.variant = response.variant
        self.tags = response.tags
        self.body = body
        // A head of its own: one that another entry's block keeps would keep that block.
        self.wide = isWide ? response.detached : nil
        var cost: Int = MemoryCosts.extras + (body?.footprint ?? 0) + MemoryCosts.size(of: response.variant)
        if isWide { cost += MemoryCosts.array(response.head.count) }
        if !response.tags.isEmpty { cost += MemoryCosts.array(response.tags.count * 16) }
        for tag in response.tags { cost += MemoryCosts.tag + MemoryCosts.text(tag) }
        self.cost = cost
    }
}
