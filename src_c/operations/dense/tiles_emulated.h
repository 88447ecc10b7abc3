/* tiles_emulated.h: AMX tiles in plain C, so that bfloat16_tiles.h can be tested where no CPU has them. */
static _Thread_local struct { _Alignas(64) uint32_t word[16][16]; } tile_registers[8];
static _Thread_local uint8_t tile_rows[8];
static _Thread_local uint16_t tile_bytes[8]; /* of a row */

static inline float half_value(uint32_t word, int upper) {
    const uint32_t bits = upper ? word & 0xffff0000u : word << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return fabsf(x) < 0x1p-126f ? 0 : x; /* denormals are zeros */
}
static inline void tile_release(void) { memset(tile_registers, 0xff, sizeof tile_registers); }
static inline void tile_configure(const void *config) {
    memcpy(tile_bytes, (const char *)config + 16, sizeof tile_bytes);
    memcpy(tile_rows, (const char *)config + 48, sizeof tile_rows);
    memset(tile_registers, 0, sizeof tile_registers);
}
static inline void tiles_read(const void *p) { (void)p; }
static inline void tile_zero(int t) { memset(&tile_registers[t], 0, sizeof tile_registers[t]); }
static inline void tile_load(int t, const void *p, size_t stride) {
    tile_zero(t);
    for (size_t r = 0; r < tile_rows[t]; r++)
        memcpy(tile_registers[t].word[r], (const char *)p + r * stride, tile_bytes[t]);
}
static inline void tile_stream(int t, const void *p, size_t stride) { tile_load(t, p, stride); }
static inline void tile_store(int t, void *p, size_t stride) {
    for (size_t r = 0; r < tile_rows[t]; r++) memcpy((char *)p + r * stride, tile_registers[t].word[r], tile_bytes[t]);
}
/* C (rows,16) += A (rows,32) B (32,16), even and odd k in sums of their own */
static inline void tile_dot(int c, int a, int b) {
    for (int i = 0; i < tile_rows[c]; i++) {
        float even[16] = {0}, odd[16] = {0}, sum[16];
        for (int k = 0; k < 16; k++) {
            const uint32_t x = tile_registers[a].word[i][k];
            for (int j = 0; j < 16; j++) {
                even[j] += half_value(x, 0) * half_value(tile_registers[b].word[k][j], 0);
                odd[j] += half_value(x, 1) * half_value(tile_registers[b].word[k][j], 1);
            }
        }
        memcpy(sum, tile_registers[c].word[i], sizeof sum);
        for (int j = 0; j < 16; j++) sum[j] += even[j] + odd[j];
        memcpy(tile_registers[c].word[i], sum, sizeof sum);
    }
}
