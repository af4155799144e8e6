import com.google.protobuf.ByteString;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.tensorflow.Result;
import org.tensorflow.SavedModelBundle;
import org.tensorflow.Tensor;
import org.tensorflow.ndarray.NdArray;
import org.tensorflow.ndarray.NdArrays;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.proto.TensorProto;
import org.tensorflow.proto.TensorShapeProto;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.TInt32;
import org.tensorflow.types.TString;

/**
 * Calls a saved model: {@code CallModel MODEL CALLS ANSWERS}.
 *
 * <p>{@code CALLS/<signature>/<input>} and {@code ANSWERS/<signature>/<output>} are tensors as serialised protos.
 */
public final class CallModel {
  public static void main(String[] arguments) throws IOException {
    try (SavedModelBundle model = SavedModelBundle.load(arguments[0], "serve")) {
      for (Path call : list(Path.of(arguments[1]))) {
        Path answers = Files.createDirectories(Path.of(arguments[2]).resolve(call.getFileName()));
        call(model, call, answers);
      }
    }
  }

  private static void call(SavedModelBundle model, Path call, Path answers) throws IOException {
    Map<String, Tensor> inputs = new HashMap<>();
    for (Path file : list(call)) {
      inputs.put(file.getFileName().toString(), tensor(TensorProto.parseFrom(Files.readAllBytes(file))));
    }
    try (Result outputs = model.function(call.getFileName().toString()).call(inputs)) {
      for (Map.Entry<String, Tensor> output : outputs) {
        Files.write(answers.resolve(output.getKey()), proto(output.getValue()).toByteArray());
      }
    } finally {
      inputs.values().forEach(Tensor::close);
    }
  }

  private static Tensor tensor(TensorProto proto) {
    Shape shape = Shape.of(proto.getTensorShape().getDimList().stream().mapToLong(TensorShapeProto.Dim::getSize).toArray());
    int[] place = {0};
    switch (proto.getDtype()) {
      case DT_STRING:
        NdArray<byte[]> strings = NdArrays.ofObjects(byte[].class, shape);
        strings.scalars().forEach(one -> one.setObject(proto.getStringVal(place[0]++).toByteArray()));
        return TString.tensorOfBytes(strings);
      case DT_INT32:
        return TInt32.tensorOf(shape, ints -> ints.scalars().forEach(one -> one.setInt(proto.getIntVal(place[0]++))));
      case DT_FLOAT:
        return TFloat32.tensorOf(
            shape, floats -> floats.scalars().forEach(one -> one.setFloat(proto.getFloatVal(place[0]++))));
      default:
        throw new IllegalArgumentException("no input of a signature is of type " + proto.getDtype());
    }
  }

  private static TensorProto proto(Tensor tensor) {
    TensorProto.Builder proto = TensorProto.newBuilder().setDtype(tensor.dataType());
    for (long size : tensor.shape().asArray()) {
      proto.getTensorShapeBuilder().addDimBuilder().setSize(size);
    }
    switch (tensor.dataType()) {
      case DT_STRING:
        ((TString) tensor).asBytes().scalars().forEach(one -> proto.addStringVal(ByteString.copyFrom(one.getObject())));
        return proto.build();
      case DT_INT32:
        ((TInt32) tensor).scalars().forEach(one -> proto.addIntVal(one.getInt()));
        return proto.build();
      case DT_FLOAT:
        ((TFloat32) tensor).scalars().forEach(one -> proto.addFloatVal(one.getFloat()));
        return proto.build();
      default:
        throw new IllegalArgumentException("no output of a signature is of type " + tensor.dataType());
    }
  }

  private static List<Path> list(Path folder) throws IOException {
    try (Stream<Path> found = Files.list(folder)) {
      return found.sorted().toList();
    }
  }
}
