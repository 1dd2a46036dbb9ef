import HTTPFields

/// The values by which one request is compared with the variants of its key, each made once, however many variants there are. Pure.
struct SelectorValues {
    private var values: [VariantKey.Selector] = []

    /// ``CacheRequest/selectorValue(_:)``, made when it is first asked for.
    ///
    /// - Parameter request: always the same.
    mutating func value(of name: FieldName, in request: CacheRequest) -> [UInt8]? {
        for known in self.values where known.name == name { return known.value }
        let value = request.selectorValue(name)
        self.values.append(VariantKey.Selector(name: name, value: value))
        return value
    }
}
