// Pipes whose entries are views of their slots, on a CPU: the library has no CPU body for these forms.
//
// Counters per pipe and block: each producer lane counts pushes, each consumer lane pops and frees.  A slot is full when every producer
// lane has pushed it, free again when every consumer lane has freed it.  The cube core is one lane, each vector core is one.
#ifndef PTOC_CPU_PIPES_HPP
#define PTOC_CPU_PIPES_HPP

#include <algorithm>
#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

namespace ptoc_cpu {

constexpr unsigned kLanes = 2;

struct Ring {
    std::mutex mutex;
    std::condition_variable changed;
    std::array<unsigned, kLanes> pushed{}, freed{};
};

inline Ring& ring(unsigned flag)
{
    static std::mutex mutex;
    static std::map<std::pair<unsigned, unsigned>, Ring> rings;
    std::lock_guard<std::mutex> lock(mutex);
    return rings[{get_block_idx(), flag}];
}

inline unsigned least(const std::array<unsigned, kLanes>& counts, unsigned lanes)
{
    return *std::min_element(counts.begin(), counts.begin() + lanes);
}

template <typename Pipe>
struct Facts;

template <uint8_t Flag, uint8_t Dir, uint32_t Size, uint32_t Slots, uint32_t Local, bool NoSplit, bool Unit>
struct Facts<pto::TPipe<Flag, Dir, Size, Slots, Local, NoSplit, Unit>> {
    static constexpr unsigned flag = Flag, size = Size, slots = Slots;
    static constexpr bool to_vector = Dir == pto::Direction::DIR_C2V;
    static_assert(to_vector || Dir == pto::Direction::DIR_V2C, "a pipe in both directions has no entries on a CPU: use two pipes");

    static unsigned vector_lanes() { return std::min(kLanes, std::max(1u, get_subblockdim())); }
    static unsigned producers() { return to_vector ? 1 : vector_lanes(); }
    static unsigned consumers() { return to_vector ? vector_lanes() : 1; }
    static unsigned producer() { return to_vector ? 0 : get_subblockid(); }
    static unsigned consumer() { return to_vector ? get_subblockid() : 0; }
};

template <typename View, pto::TileSplitAxis Split>
size_t lane_offset(bool vector_side)
{
    if (!vector_side || Split == pto::TileSplitAxis::TILE_NO_SPLIT) return 0;
    const size_t rows = Split == pto::TileSplitAxis::TILE_UP_DOWN ? View::staticShape[3] : 1;
    return get_subblockid() * rows * View::staticShape[4] * sizeof(typename View::RawDType);
}

template <typename Pipe, typename View>
void point(Pipe& pipe, View& view, unsigned index, size_t offset)
{
    auto* slots = reinterpret_cast<char*>(pipe.fifo.GM_SLOT_BUFFER);
    TASSIGN_IMPL(view, reinterpret_cast<typename View::DType*>(slots + index % Facts<Pipe>::slots * size_t(Facts<Pipe>::size) + offset));
}

}  // namespace ptoc_cpu

namespace pto {

template <typename Pipe, typename View, TileSplitAxis Split>
    requires is_global_data_v<View>
void TALLOC_IMPL(Pipe& pipe, View& view)
{
    using F = ptoc_cpu::Facts<Pipe>;
    auto& ring = ptoc_cpu::ring(F::flag);
    const unsigned index = pipe.prod.tileIndex++;
    std::unique_lock<std::mutex> lock(ring.mutex);
    ring.changed.wait(lock, [&] { return index < ptoc_cpu::least(ring.freed, F::consumers()) + F::slots; });
    ptoc_cpu::point(pipe, view, index, ptoc_cpu::lane_offset<View, Split>(!F::to_vector));
}

template <typename Pipe, typename View, TileSplitAxis Split>
    requires is_global_data_v<View>
void TPUSH_IMPL(Pipe&, View&)
{
    using F = ptoc_cpu::Facts<Pipe>;
    auto& ring = ptoc_cpu::ring(F::flag);
    std::lock_guard<std::mutex> lock(ring.mutex);
    ++ring.pushed[F::producer()];
    ring.changed.notify_all();
}

template <typename Pipe, typename View, TileSplitAxis Split>
    requires is_global_data_v<View>
void TPOP_IMPL(Pipe& pipe, View& view)
{
    using F = ptoc_cpu::Facts<Pipe>;
    auto& ring = ptoc_cpu::ring(F::flag);
    const unsigned index = pipe.cons.tileIndex++;
    std::unique_lock<std::mutex> lock(ring.mutex);
    ring.changed.wait(lock, [&] { return index < ptoc_cpu::least(ring.pushed, F::producers()); });
    ptoc_cpu::point(pipe, view, index, ptoc_cpu::lane_offset<View, Split>(F::to_vector));
}

template <typename Pipe, typename View, TileSplitAxis Split>
    requires is_global_data_v<View>
void TFREE_IMPL(Pipe& pipe, View&)
{
    using F = ptoc_cpu::Facts<Pipe>;
    auto& ring = ptoc_cpu::ring(F::flag);
    std::lock_guard<std::mutex> lock(ring.mutex);
    ring.freed[F::consumer()] = pipe.cons.tileIndex;  // pops are counted, as on the device: one free reports all before it
    ring.changed.notify_all();
}

}  // namespace pto

#endif
