// layers.mjs FOLDER [NAME]: models of layers that TensorFlow.js itself makes and saves. Each gets FOLDER/NAME/{model.json, *.bin, in.json, out.json}.
import path from "node:path";
import { tf, saver, writeArrays } from "./common.mjs";
const [root, only] = process.argv.slice(2);
const L = tf.layers;
let seed = 0;
const init = () => tf.initializers.randomNormal({ stddev: 0.4, seed: ++seed });
const own = (more = {}) => ({ kernelInitializer: init(), biasInitializer: init(), ...more });
const rnn = (units, more = {}) => ({ units, ...own(), recurrentInitializer: init(), ...more });
const norm = () => ({
  betaInitializer: init(), gammaInitializer: init(), movingMeanInitializer: init(),
  movingVarianceInitializer: tf.initializers.randomUniform({ minval: 0.5, maxval: 2, seed: ++seed }),
});

const models = {
  // Pictures: convolutions of every kind, pooling, padding, normalization; weights in several files.
  js_layers_image: () => {
    const m = tf.sequential();
    m.add(L.conv2d({ inputShape: [12, 10, 3], filters: 6, kernelSize: 3, padding: "same", activation: "relu", ...own() }));
    m.add(L.batchNormalization(norm()));
    m.add(L.zeroPadding2d({ padding: [[1, 0], [0, 2]] }));
    m.add(L.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, strides: 2, depthwiseInitializer: init(), biasInitializer: init() }));
    m.add(L.leakyReLU({ alpha: 0.1 }));
    m.add(L.separableConv2d({ filters: 5, kernelSize: 2, depthwiseInitializer: init(), pointwiseInitializer: init(), biasInitializer: init() }));
    m.add(L.prelu({ alphaInitializer: init(), sharedAxes: [1, 2] }));
    m.add(L.upSampling2d({ size: [2, 2] }));
    m.add(L.conv2dTranspose({ filters: 4, kernelSize: 3, strides: 2, activation: "hardSigmoid", ...own() }));
    m.add(L.averagePooling2d({ poolSize: 2, padding: "same" }));
    m.add(L.cropping2D({ cropping: [[1, 0], [0, 1]] }));
    m.add(L.maxPooling2d({ poolSize: 2 }));
    m.add(L.globalAveragePooling2d({}));
    m.add(L.dropout({ rate: 0.5 }));
    m.add(L.dense({ units: 7, activation: "softmax", ...own() }));
    return { m, x: [tf.randomNormal([2, 12, 10, 3], 0, 1, "float32", 7)], shard: 700 };
  },
  // Sequences: recurrent layers alone, stacked, in both directions and inside of others.
  js_layers_sequence: () => {
    const ids = tf.input({ shape: [6], dtype: "int32", name: "ids" });
    const x = tf.input({ shape: [6, 4], name: "x" });
    const e = L.embedding({ inputDim: 9, outputDim: 4, embeddingsInitializer: init() }).apply(ids);
    let y = L.add().apply([e, x]);
    y = L.bidirectional({ layer: L.lstm(rnn(3, { returnSequences: true })), mergeMode: "concat" }).apply(y);
    y = L.gru(rnn(4, { returnSequences: true, recurrentActivation: "sigmoid" })).apply(y);
    y = L.timeDistributed({ layer: L.dense({ units: 3, activation: "elu", ...own() }) }).apply(y);
    const z = L.rnn({ cell: [L.lstmCell(rnn(3)), L.simpleRNNCell(rnn(2))], returnSequences: false }).apply(y);
    const w = L.simpleRNN(rnn(2, { goBackwards: true })).apply(y);
    const out = L.concatenate().apply([z, w, L.flatten().apply(y)]);
    const m = tf.model({ inputs: [ids, x], outputs: [out, z] });
    return { m, x: [tf.tensor([0, 3, 8, 1, 1, 5, 2, 2, 7, 6, 4, 0], [2, 6], "int32"), tf.randomNormal([2, 6, 4], 0, 1, "float32", 8)] };
  },
  // A model inside of a model, called twice; merging; normalization; reshaping.
  js_layers_nested: () => {
    const a = tf.input({ shape: [5], name: "a" });
    const b = tf.input({ shape: [5], name: "b" });
    const inner = tf.sequential({ name: "tower" });
    inner.add(L.dense({ units: 4, inputShape: [5], activation: "tanh", ...own() }));
    inner.add(L.batchNormalization(norm()));
    inner.add(L.dense({ units: 3, ...own() }));
    const [p, q] = [inner.apply(a), inner.apply(b)];
    let y = L.concatenate({ axis: -1 }).apply([p, q, L.multiply().apply([p, q]), L.maximum().apply([p, q]), L.average().apply([p, q])]);
    y = L.layerNormalization({ betaInitializer: init(), gammaInitializer: init() }).apply(y);
    y = L.reshape({ targetShape: [5, 3] }).apply(y);
    y = L.permute({ dims: [2, 1] }).apply(y);
    y = L.conv1d({ filters: 4, kernelSize: 2, activation: "selu", ...own() }).apply(y);
    y = L.globalMaxPooling1d({}).apply(y);
    const m = tf.model({ inputs: [a, b], outputs: [L.dense({ units: 2, activation: "sigmoid", ...own() }).apply(y), L.dot({ axes: -1 }).apply([p, q])] });
    return { m, x: [tf.randomNormal([3, 5], 0, 1, "float32", 9), tf.randomNormal([3, 5], 0, 1, "float32", 10)] };
  },
};

for (const [name, make] of Object.entries(models)) {
  if (only && only !== name) continue;
  const { m, x, shard } = make();
  const folder = path.join(root, name);
  await m.save(saver(folder, shard));
  const numbered = (all) => Object.fromEntries(all.map((t, i) => [`${i}`, t]));
  writeArrays(path.join(folder, "in.json"), numbered(x));
  writeArrays(path.join(folder, "out.json"), numbered([m.predict(x)].flat()));
}
