// Just enough of the tile library to check the syntax of emitted C++ and to run its scalar code, where the library is absent.
#ifndef STUB_PTO_INST
#define STUB_PTO_INST

#include <cstdint>

#define __global__
#define AICORE
#define __gm__
#define __DAV_VEC__
#define __DAV_CUBE__

using half = _Float16;
using event_t = int;
constexpr int PIPE_S = 0, PIPE_V = 1, PIPE_MTE1 = 2, PIPE_MTE2 = 3, PIPE_MTE3 = 4, PIPE_M = 5, PIPE_ALL = 6, PIPE_FIX = 7;
constexpr int EVENT_ID0 = 0, EVENT_ID1 = 1;
inline int64_t get_block_idx() { return 0; }
inline int64_t get_block_num() { return 1; }
inline int64_t get_subblockid() { return 0; }
inline int64_t get_subblockdim() { return 1; }
inline void set_flag(int, int, event_t) {}
inline void wait_flag(int, int, event_t) {}
inline void pipe_barrier(int) {}
inline void set_mask_norm() {}
inline void set_vector_mask(uint64_t, uint64_t) {}
inline void set_ffts_base_addr(uint64_t) {}

namespace pto {

enum class TileType { Vec, Mat, Left, Right, Acc, Bias, Scaling };
enum class BLayout { RowMajor, ColMajor };
enum class SLayout { NoneBox, RowMajor, ColMajor };
enum class PadValue { Null, Zero, Max, Min };
enum class CompactMode { Null, Normal, RowPlusOne };
enum class Layout { ND, DN, NZ };
enum class AtomicType { AtomicNone, AtomicAdd };
enum TileSplitAxis { TILE_NO_SPLIT, TILE_UP_DOWN, TILE_LEFT_RIGHT };
enum Direction { DIR_C2V = 1, DIR_V2C = 2, DIR_BOTH = 3 };

template <int64_t... N>
struct Shape {
    template <typename... T>
    Shape(T...)
    {
        static_assert(sizeof...(T) == 0 || sizeof...(T) == ((N == -1) + ...), "one argument per dynamic dimension");
    }
};
template <int64_t... N>
struct Stride : Shape<N...> {
    using Shape<N...>::Shape;
};

template <typename T, typename ShapeType, typename StrideType, Layout layout>
struct GlobalTensor {
    T* pointer = nullptr;
    GlobalTensor() = default;
    GlobalTensor(T* p, ShapeType = ShapeType(), StrideType = StrideType()) : pointer(p) {}
    T* data() { return pointer; }
};

template <TileType, typename T, int rows, int cols, BLayout, int v_rows, int v_cols, SLayout, int fractal, PadValue, CompactMode>
struct Tile {
    uint64_t address = 0;
    Tile() = default;
    template <typename... V>
    explicit Tile(unsigned first, V...)
    {
        static_assert(1 + sizeof...(V) == (v_rows == -1) + (v_cols == -1), "one argument per dynamic valid size");
    }
    uint64_t data() { return address; }
};

template <typename TileData>
void TASSIGN(TileData& tile, uint64_t address)
{
    tile.address = address;
}
template <typename... T>
void TLOAD(T&...)
{}
template <typename... T>
void TADD(T&...)
{}
template <typename A, typename B, AtomicType, typename... T>
void TSTORE(T&...)
{}

template <int flag, int direction, int bytes, int slots, int local_slots, bool no_split>
struct TPipe {
    TPipe(void*, uint32_t, uint32_t) {}
};
template <typename Pipe, typename View, TileSplitAxis>
void TALLOC(Pipe&, View&)
{}
template <typename Pipe, typename View, TileSplitAxis>
void TPUSH(Pipe&, View&)
{}
template <typename Pipe, typename View, TileSplitAxis>
void TPOP(Pipe&, View&)
{}
template <typename Pipe, typename View, TileSplitAxis>
void TFREE(Pipe&, View&)
{}

}  // namespace pto

#endif
